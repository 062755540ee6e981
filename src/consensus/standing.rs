//! How a replica stands with the other members of its group.
//!
//! Why more than "member or not": Raft forbids an id that lost its log to come back, and a replica
//! whose state differs to answer; both must be visible to whoever supervises the node, since both
//! end with a new generation ([`crate::Node::rejoin_group`], [`crate::Node::rebuild_group`]).

/// One replica's standing in its group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Standing {
    /// New and empty: it asks the other founding members whether its id took part before, and takes
    /// part in nothing until all of them have said no.
    #[default]
    Asking,
    /// Takes part, as far as the membership lets it.
    Member,
    /// Of a later generation: asks the leader to be taken in, and catches up.
    Joining,
    /// Its id took part before and was lost, or was replaced: it takes part in nothing. The node
    /// may come back as this generation.
    Displaced { next_generation: u32 },
    /// Found to differ: still votes and appends, but serves nobody and does not lead.
    Quarantined,
}
