//! Every number of the client that has a meaning, with its unit in its name.
//!
//! Why two settings: the tiny ones reach the corners (a full window, the last attempt) in tests.

/// Bounds on what the client does. All of them hold for one call or one `run`.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Longest a unary call may take, one attempt.
    pub call_ms: u64,
    /// Longest a stream (transaction or scan) may take, one attempt.
    pub stream_ms: u64,
    /// Longest a whole operation may take, with all of its attempts.
    pub operation_ms: u64,
    /// Longest a connection may take to open.
    pub connect_ms: u64,
    /// A ping goes out after this long without traffic.
    pub keepalive_interval_ms: u64,
    /// The connection is dead when a ping is not answered in this long.
    pub keepalive_timeout_ms: u64,
    /// An endpoint that failed is asked last for this long.
    pub endpoint_cooldown_ms: u64,
    /// Attempts of one operation, the first included.
    pub attempts_max: u32,
    /// Upper end of the first pause between attempts; doubles with each.
    pub backoff_base_ms: u64,
    /// Upper end of any pause.
    pub backoff_max_ms: u64,
    /// Frames of one transaction on their way to the socket.
    pub frames_in_flight_max: usize,
    /// Operations that wait to be sent on one pipeline stream.
    pub operations_in_flight_max: usize,
    /// Largest message taken or sent.
    pub message_bytes_max: usize,
    /// Partitions whose leader is remembered.
    pub routes_max: usize,
}

impl Limits {
    /// For use.
    pub fn production() -> Self {
        Limits {
            call_ms: 5_000,
            stream_ms: 15_000,
            operation_ms: 60_000,
            connect_ms: 2_000,
            keepalive_interval_ms: 5_000,
            keepalive_timeout_ms: 3_000,
            endpoint_cooldown_ms: 1_000,
            attempts_max: 64,
            backoff_base_ms: 4,
            backoff_max_ms: 500,
            frames_in_flight_max: 64,
            operations_in_flight_max: 1_024,
            message_bytes_max: 16 << 20,
            routes_max: 65_536,
        }
    }

    /// For tests: small enough that every bound is met.
    pub fn simulation() -> Self {
        Limits {
            call_ms: 200,
            stream_ms: 400,
            operation_ms: 2_000,
            connect_ms: 100,
            endpoint_cooldown_ms: 20,
            attempts_max: 6,
            backoff_base_ms: 1,
            backoff_max_ms: 4,
            frames_in_flight_max: 2,
            operations_in_flight_max: 2,
            message_bytes_max: 64 << 10,
            routes_max: 2,
            ..Limits::production()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits::production()
    }
}
