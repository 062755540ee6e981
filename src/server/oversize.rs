//! What the transport refuses before any service sees it: a message over `message_bytes_max`, and
//! bytes that are no message.
//!
//! It says so with a bare OUT_OF_RANGE or INTERNAL; here that becomes what every other refusal of
//! bad input answers. Nothing of ours answers OUT_OF_RANGE itself.

use crate::status::{self, ApiError};
use tonic::{Code, body::Body};

const STATUS: &str = "grpc-status";
/// How the transport begins what it says of bytes that do not parse.
const NO_MESSAGE: &str = "failed to decode Protobuf message";

/// Says it in the head of a refused call's answer; any other answer is left as it is.
pub(crate) fn named(
    answer: tonic::codegen::http::Response<Body>,
    max: u64,
) -> tonic::codegen::http::Response<Body> {
    let code = answer.headers().get(STATUS).map(|code| Code::from_bytes(code.as_bytes()));
    let refused = code.and_then(|code| error(code, &status::message(answer.headers()), max));
    refused.map_or(answer, ApiError::into_http)
}

/// The same for a stream that meets such a message later than in its first one; `None` where it is
/// something else that ended it.
pub(crate) fn error(code: Code, said: &str, max: u64) -> Option<ApiError> {
    match code {
        Code::OutOfRange => {
            let actual = found_bytes(said).unwrap_or(max + 1);
            Some(ApiError::Limit { limit: "message_bytes_max", max, actual })
        }
        Code::Internal if said.starts_with(NO_MESSAGE) => {
            Some(ApiError::BadFrame { what: said.to_owned() })
        }
        _ => None,
    }
}

/// "..., found: 123 bytes, ..." is all that the transport says of it.
fn found_bytes(said: &str) -> Option<u64> {
    let (_, found) = said.split_once("length too large: found ")?;
    found.split(' ').next()?.parse().ok()
}
