//! Exit codes, and which error ends with which.

use std::fmt;
use std::process::ExitCode;

use vatic_client::{Class, ClientError};

/// What a process says with its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Ok = 0,
    /// Anything that has no code of its own: a broken disk, a bug.
    Failure = 1,
    Usage = 2,
    Unavailable = 3,
    Conflict = 4,
    Verification = 5,
    OutcomeUnknown = 6,
}

/// An error of the command line's own, with the code that it ends with.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) exit: Exit,
    pub(crate) message: String,
}

impl Failed {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Failed { exit: Exit::Usage, message: message.into() }
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Failed { exit: Exit::Unavailable, message: message.into() }
    }

    pub(crate) fn verification(message: impl Into<String>) -> Self {
        Failed { exit: Exit::Verification, message: message.into() }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failed {}

impl Exit {
    /// The code for an error, found through everything that was wrapped around it.
    pub(crate) fn of(error: &anyhow::Error) -> Exit {
        for cause in error.chain() {
            if let Some(failed) = cause.downcast_ref::<Failed>() {
                return failed.exit;
            }
            if let Some(error) = cause.downcast_ref::<ClientError>() {
                return Exit::of_class(error.class());
            }
        }
        Exit::Failure
    }

    fn of_class(class: Class) -> Exit {
        match class {
            Class::Usage => Exit::Usage,
            Class::Unavailable => Exit::Unavailable,
            Class::Conflict => Exit::Conflict,
            Class::Verification => Exit::Verification,
            Class::Unknown => Exit::OutcomeUnknown,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    fn exit_of(error: ClientError) -> Exit {
        Exit::of(&Err::<(), _>(error).context("while putting").unwrap_err())
    }

    #[test]
    fn each_class_of_client_error_has_its_documented_code() {
        let gone = ClientError::Unreachable {
            endpoint: "http://127.0.0.1:1".into(),
            message: "refused".into(),
            sent: false,
        };
        assert_eq!(exit_of(gone) as u8, 3);
        assert_eq!(exit_of(ClientError::Input("no".into())) as u8, 2);
        assert_eq!(exit_of(ClientError::caller("overdrawn")) as u8, 4);
        let lost = ClientError::OutcomeUnknown { tid: None, request: None, message: String::new() };
        assert_eq!(exit_of(lost) as u8, 6);
    }

    #[test]
    fn own_failures_keep_their_code_and_others_are_one() {
        assert_eq!(Exit::of(&Failed::verification("no").into()) as u8, 5);
        assert_eq!(Exit::of(&anyhow::anyhow!("disk")) as u8, 1);
    }
}
