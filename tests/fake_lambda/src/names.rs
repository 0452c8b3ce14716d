//! How functions are named in requests: plainly, by their ARN or by a part of it, percent-encoded or not.

use percent_encoding::percent_decode_str;

/// The account that everything belongs to.
pub(crate) const ACCOUNT: &str = "123456789012";

/// A function as a request names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) name: String,
    /// The version that is asked for, if one is.
    pub(crate) qualifier: Option<String>,
}

impl Named {
    /// Reads a segment of a path, or the name in the body of a request.
    pub(crate) fn parse(segment: &str) -> Self {
        let decoded = decode(segment);
        let parts: Vec<&str> = decoded.split(':').collect();
        // Of an ARN and of its part alike the name is what follows the word.
        let after = parts.iter().position(|part| *part == "function").filter(|at| *at > 0);
        let rest = after.map_or(&parts[..], |at| &parts[at + 1..]);
        Self {
            name: rest.first().map_or_else(String::new, |name| (*name).to_owned()),
            qualifier: rest.get(1).map(|qualifier| (*qualifier).to_owned()),
        }
    }

    pub(crate) fn is_valid(&self) -> bool {
        (1..=64).contains(&self.name.len())
            && self.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    }
}

/// The ARN of a function.
pub(crate) fn arn(region: &str, name: &str) -> String {
    format!("arn:aws:lambda:{region}:{ACCOUNT}:function:{name}")
}

/// Undoes percent-encoding.
pub(crate) fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_in_four_shapes() {
        let plain = Named { name: "f".to_owned(), qualifier: None };
        assert_eq!(Named::parse("f"), plain);
        assert_eq!(Named::parse("arn:aws:lambda:us-east-1:123456789012:function:f"), plain);
        assert_eq!(Named::parse("arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Af"), plain);
        assert_eq!(Named::parse("123456789012:function:f"), plain);
        let qualified = Named { name: "f".to_owned(), qualifier: Some("$LATEST".to_owned()) };
        assert_eq!(Named::parse("f:%24LATEST"), qualified);
        assert_eq!(Named::parse("arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST"), qualified);
    }

    #[test]
    fn a_function_may_be_called_function() {
        assert_eq!(Named::parse("function").name, "function");
        assert!(!Named::parse("").is_valid());
        assert!(!Named::parse("a b").is_valid());
    }
}
