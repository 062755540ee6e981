//! vatic-models: under construction.
