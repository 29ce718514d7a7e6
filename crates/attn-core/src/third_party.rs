//! The one way into libraries that parse what others wrote.
//!
//! Files are validated before a library sees them, so that what is known to make one panic is refused with an error of
//! its own. What nobody has found yet ends here: a panic of the library becomes a message, and the caller's process goes
//! on.
//!
//! What remains: the panic hook of the program runs before, and the standard one prints to standard error. A library may
//! not replace it, for it belongs to the whole program. Where panics abort (`panic = "abort"`, browsers) nothing is
//! caught. A stack that overflows or memory that runs out is no panic: depth and sizes are bounded before.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Characters of a library's message that are repeated: it may hold text of a file.
const LONG: usize = 300;

/// What a library returns, or its panic in words.
///
/// The closure must own or only read what it touches: what a panic leaves half-changed is dropped with the closure or
/// never used again.
///
/// ```
/// use attn_core::third_party::guard;
///
/// assert_eq!(guard("parse", || "7".parse::<u8>().unwrap()), Ok(7));
/// let message = guard("parse", || "x".parse::<u8>().unwrap()).unwrap_err();
/// assert!(message.starts_with("the library `parse` panicked"));
/// ```
///
/// # Errors
/// What the panic said, cut to what fits a message.
pub fn guard<T>(library: &str, work: impl FnOnce() -> T) -> Result<T, String> {
    // Asserted: callers read shared values only, or drop what they own when this is an error.
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let message = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
            (Some(text), _) => (*text).to_owned(),
            (None, Some(text)) => match text.char_indices().nth(LONG) {
                Some((end, _)) => format!("{}...", &text[..end]),
                None => text.clone(),
            },
            (None, None) => "no message".to_owned(),
        };
        format!("the library `{library}` panicked, which is a bug of it: {message}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_message() {
        assert_eq!(guard("x", || 3), Ok(3));
        let list: Vec<u8> = Vec::new();
        let message = guard("x", || list[list.len()]).unwrap_err();
        assert!(
            message.contains("`x` panicked") && message.contains("out of bounds"),
            "{message}"
        );
        let message = guard("x", || -> u8 { panic!("{}", "ä".repeat(1000)) }).unwrap_err();
        assert!(message.ends_with("ä...") && message.chars().count() < 400, "{message}");
    }
}
