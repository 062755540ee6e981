//! Which endpoint led the group of a partition, the last time somebody said so.
//!
//! A hint, never a truth: a wrong one costs one hop. So it may be forgotten at any time, and when
//! the table is full it starts again empty rather than keep an order of use.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

#[derive(Debug)]
pub(crate) struct Routes {
    known: Mutex<HashMap<String, Arc<str>>>,
    routes_max: usize,
}

impl Routes {
    pub(crate) fn new(routes_max: usize) -> Self {
        Routes { known: Mutex::default(), routes_max }
    }

    pub(crate) fn find(&self, partition: &str) -> Option<Arc<str>> {
        self.known.lock().expect("no panic under the lock").get(partition).cloned()
    }

    pub(crate) fn learn(&self, partition: &str, endpoint: &str) {
        let mut known = self.known.lock().expect("no panic under the lock");
        match known.get_mut(partition) {
            Some(held) if **held == *endpoint => {}
            Some(held) => *held = endpoint.into(),
            None => {
                if known.len() >= self.routes_max {
                    known.clear();
                }
                known.insert(partition.to_owned(), endpoint.into());
            }
        }
    }

    pub(crate) fn forget(&self, partition: &str) {
        self.known.lock().expect("no panic under the lock").remove(partition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_hint_replaces_the_earlier() {
        let routes = Routes::new(8);
        routes.learn("p", "http://a");
        routes.learn("p", "http://b");
        assert_eq!(routes.find("p").as_deref(), Some("http://b"));
        routes.forget("p");
        assert_eq!(routes.find("p"), None);
    }

    #[test]
    fn full_table_starts_again_and_keeps_its_bound() {
        let routes = Routes::new(2);
        for partition in ["a", "b", "c"] {
            routes.learn(partition, "http://x");
        }
        assert_eq!(routes.known.lock().unwrap().len(), 1);
        assert!(routes.find("c").is_some());
    }
}
