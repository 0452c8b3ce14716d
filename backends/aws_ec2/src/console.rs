//! The console of an instance: the only thing that says why its worker was not started.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lithops_core::error::{Error, ErrorKind};

use crate::api::ec2::Ec2;

/// How much of the end of a console is part of an error.
const CONSOLE: usize = 1500;

/// The error of instances that never start their workers, with what the last one has said.
pub(crate) async fn in_vain(ec2: &Ec2, false_starts: usize, (id, words): (&str, &str)) -> Error {
    let console = of(ec2, id).await;
    let problem = format!(
        "{false_starts} instances in a row ended before their workers were started; of the last, {id}: {words}; its console: {console}"
    );
    // So EC2 says it of a disk that it may not make or open.
    let hint = if words.contains("Client.InternalError") {
        "disks are encrypted: may the account, and the role of spot instances, use the key for them? `aws ec2 get-ebs-default-kms-key-id` \
         names it"
    } else {
        "may the instance profile read and write the bucket, does a route lead there, and has the image `aws`? \
         `lithops doctor --live` tries it with one instance"
    };
    Error::new(ErrorKind::WorkerLost, problem).with_hint(hint)
}

/// The end of what an instance has written, or why it cannot be read.
pub(crate) async fn of(ec2: &Ec2, id: &str) -> String {
    match ec2.console(id).await {
        Ok(console) => tail(&console),
        Err(error) => format!("cannot be read: {}", error.words()),
    }
}

/// The end of a console.
fn tail(encoded: &str) -> String {
    let digits: String = encoded.split_whitespace().collect();
    let bytes = STANDARD.decode(digits).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let all = lines.join(" | ");
    let mut from = all.len().saturating_sub(CONSOLE);
    while !all.is_char_boundary(from) {
        from += 1;
    }
    if all.is_empty() { "it is empty yet".to_owned() } else { all[from..].to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_console_is_one_line() {
        assert_eq!(tail(&STANDARD.encode("boot\r\n\r\nfatal error: 403\n")), "boot | fatal error: 403");
        assert_eq!(tail(""), "it is empty yet");
        assert!(tail(&STANDARD.encode("ü".repeat(5000))).len() <= CONSOLE);
    }
}
