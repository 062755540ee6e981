//! What a server serves: whoever takes connections.

use std::sync::Arc;

use vatic_stand_in_tokio::wire::Incoming;

/// Takes the connections that come to a server.
pub trait Accepts: Send + Sync + 'static {
    fn accept(&self, incoming: Incoming);
}

/// The services of one server: here at most one is reached.
#[derive(Clone, Default)]
pub struct Routes(Option<Arc<dyn Accepts>>);

impl Routes {
    pub fn add_service(self, service: impl Accepts) -> Routes {
        Routes(Some(Arc::new(service)))
    }

    pub(crate) fn accept(&self, incoming: Incoming) {
        if let Some(service) = &self.0 {
            service.accept(incoming);
        }
    }
}
