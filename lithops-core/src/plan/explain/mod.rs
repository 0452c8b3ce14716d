//! What is said about a plan: the reasons for its numbers, alternatives, warnings and drawings.

pub(super) mod advice;
pub(super) mod drawing;
pub(super) mod explanation;
pub(super) mod warning;
pub(super) mod words;

pub use drawing::svg;
pub use explanation::Alternative;
pub use warning::Warning;
pub use words::seconds;
