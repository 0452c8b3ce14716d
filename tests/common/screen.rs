//! What a terminal shows: text, the movements and erasures that the progress bar uses, lines that wrap, and
//! scrolling. What it does not know is an error, so that nothing is passed over.

pub(crate) struct Screen {
    columns: usize,
    rows: usize,
    /// All lines that were ever on the screen; the last `rows` of them are.
    lines: Vec<Vec<char>>,
    row: usize,
    column: usize,
    saved: (usize, usize),
}

impl Screen {
    pub(crate) fn new(columns: usize, rows: usize) -> Self {
        Self { columns, rows, lines: vec![Vec::new()], row: 0, column: 0, saved: (0, 0) }
    }

    /// The lines without the blanks at their ends.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.iter().map(|line| line.iter().collect::<String>().trim_end().to_owned()).collect()
    }

    pub(crate) fn write(&mut self, text: &str) {
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '\r' => self.column = 0,
                '\n' => self.down(),
                '\x1b' => self.escape(&mut letters),
                letter => self.put(letter),
            }
        }
    }

    fn escape(&mut self, letters: &mut std::str::Chars<'_>) {
        match letters.next() {
            Some('D') => self.down(),
            Some('M') => self.row = self.row.saturating_sub(1).max(self.top()),
            Some('7') => self.saved = (self.row - self.top(), self.column),
            Some('8') => (self.row, self.column) = (self.saved.0 + self.top(), self.saved.1),
            Some('[') => match (letters.next(), letters.next()) {
                (Some('J'), next) => {
                    self.lines[self.row].truncate(self.column);
                    self.lines[self.row + 1..].iter_mut().for_each(Vec::clear);
                    // The letter behind the sequence is no part of it.
                    if let Some(next) = next {
                        self.write(&format!("{next}{}", letters.by_ref().collect::<String>()));
                    }
                }
                (Some('1'), Some('B')) => self.row = (self.row + 1).min(self.lines.len() - 1),
                other => panic!("an unknown sequence: {other:?}"),
            },
            other => panic!("an unknown sequence: {other:?}"),
        }
    }

    fn top(&self) -> usize {
        self.lines.len().saturating_sub(self.rows)
    }

    fn down(&mut self) {
        self.row += 1;
        if self.row == self.lines.len() {
            self.lines.push(Vec::new());
        }
    }

    fn put(&mut self, letter: char) {
        if self.column == self.columns {
            self.column = 0;
            self.down();
        }
        let line = &mut self.lines[self.row];
        line.resize(line.len().max(self.column + 1), ' ');
        line[self.column] = letter;
        self.column += 1;
    }
}
