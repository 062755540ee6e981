//! Request ids: what makes a repeated request one effect.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use vatic_core::id::Tid;

/// The name of one intended effect, the same for all of its attempts.
#[derive(Debug, Clone)]
pub struct Request {
    id: [u8; 16],
    mint_unix_ms: u64,
    route: OnceLock<String>,
}

/// Whose outcome is asked for.
#[derive(Debug, Clone, Copy)]
pub enum OutcomeOf<'a> {
    /// One attempt's.
    Transaction(Tid),
    /// Of whichever attempt at the request committed.
    Request(&'a Request),
}

impl Request {
    /// A fresh random id. Its route is the first partition that it touches.
    pub fn mint() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Request { id: rand::random(), mint_unix_ms: now.as_millis() as u64, route: OnceLock::new() }
    }

    /// Fixes the partition whose group remembers the id; the first call counts.
    pub(crate) fn route_by(&self, partition: &str) {
        self.route.get_or_init(|| partition.to_owned());
    }

    /// The parts of the id, once it has a route.
    pub(crate) fn parts(&self) -> Option<(&[u8], &str, u64)> {
        Some((&self.id, self.route.get()?, self.mint_unix_ms))
    }
}

/// `ID.MINT.ROUTE`, the id in hexadecimal: all that is needed to ask for its outcome later.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, ".{}.{}", self.mint_unix_ms, self.route.get().map_or("", String::as_str))
    }
}

/// The text is not a request id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("request id {0:?} is not of the form ID.MINT.ROUTE")]
pub struct RequestError(pub String);

impl FromStr for Request {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, RequestError> {
        let parse = || {
            let mut parts = text.splitn(3, '.');
            let (id, mint, route) = (parts.next()?, parts.next()?, parts.next()?);
            let whole = id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit());
            let id = u128::from_str_radix(id, 16).ok().filter(|_| whole)?.to_be_bytes();
            let mint_unix_ms = mint.parse().ok()?;
            let route = OnceLock::from(Some(route.to_owned()).filter(|route| !route.is_empty())?);
            Some(Request { id, mint_unix_ms, route })
        };
        parse().ok_or_else(|| RequestError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_partition_touched_stays_the_route() {
        let request = Request::mint();
        assert!(request.parts().is_none());
        request.route_by("a");
        request.route_by("b");
        assert_eq!(request.parts().unwrap().1, "a");
    }

    #[test]
    fn two_requests_differ() {
        assert_ne!(Request::mint().to_string(), Request::mint().to_string());
    }

    #[test]
    fn text_of_a_request_names_the_same_one_whatever_its_route() {
        for route in ["a", "with.dots and/more", "ä"] {
            let request = Request::mint();
            request.route_by(route);
            let read: Request = request.to_string().parse().unwrap();
            assert_eq!(read.parts(), request.parts());
        }
    }

    #[test]
    fn text_that_is_no_request_is_refused() {
        let id = "0f".repeat(16);
        for text in ["", "x", &format!("{id}.1"), &format!("{id}.1."), &format!("{id}.x.a")] {
            assert!(text.parse::<Request>().is_err(), "{text}");
        }
        let signed = format!("+{}.1.a", &id[1..]);
        assert!(signed.parse::<Request>().is_err(), "{signed}");
        // One that nobody routed was never sent.
        assert!(Request::mint().to_string().parse::<Request>().is_err());
    }
}
