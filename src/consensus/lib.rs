//! vatic-consensus: under construction.
