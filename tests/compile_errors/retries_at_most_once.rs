//! What must never be begun twice cannot be tried again.

#[lithops::function(at_most_once, retries = 3)]
fn pay(invoice: u64) -> u64 {
    invoice
}

fn main() {}
