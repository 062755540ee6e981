//! A message over `message_bytes_max` is refused by name.
//!
//! The transport refuses it before any service sees it, with a bare OUT_OF_RANGE; here that becomes
//! what every other limit answers. Nothing of ours answers OUT_OF_RANGE itself.

use crate::status::{self, ApiError};
use tonic::{Code, body::Body};

const STATUS: &str = "grpc-status";

/// Says it in the head of a refused call's answer; any other answer is left as it is.
pub(crate) fn named(
    answer: tonic::codegen::http::Response<Body>,
    max: u64,
) -> tonic::codegen::http::Response<Body> {
    let code = answer.headers().get(STATUS).map(|code| Code::from_bytes(code.as_bytes()));
    if code != Some(Code::OutOfRange) {
        return answer;
    }
    error(&status::message(answer.headers()), max).into_http()
}

/// The same for a stream that meets such a message later than in its first one.
pub(crate) fn error(said: &str, max: u64) -> ApiError {
    ApiError::Limit {
        limit: "message_bytes_max",
        max,
        actual: found_bytes(said).unwrap_or(max + 1),
    }
}

/// "..., found: 123 bytes, ..." is all that the transport says of it.
fn found_bytes(said: &str) -> Option<u64> {
    let (_, found) = said.split_once("length too large: found ")?;
    found.split(' ').next()?.parse().ok()
}
