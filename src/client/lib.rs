//! vatic-client: under construction.
