//! vatic-store: under construction.
