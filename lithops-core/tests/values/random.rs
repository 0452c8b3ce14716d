//! A source of numbers that is the same in every run.

/// splitmix64.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub(crate) fn chance(&mut self) -> bool {
        self.next() & 1 == 1
    }

    /// A number of any size: as many small ones as large ones, and those at the limits.
    pub(crate) fn number(&mut self) -> u128 {
        let number = u128::from(self.next()) << 64 | u128::from(self.next());
        match self.below(8) {
            0 => 0,
            1 => u128::MAX,
            2 => u128::from(u64::MAX) + u128::from(self.next() % 3) - 1,
            3 => 1 << self.below(128),
            _ => number >> self.below(128),
        }
    }
}
