//! Requests in, answers out.

pub mod deliver;
pub mod fleet;
pub mod options;
pub mod serve;

use std::sync::Arc;

use axum::Router;

pub use self::{
    deliver::{Deliverer, DeliveryFailure},
    fleet::Fleet,
    options::ProxyOptions,
    serve::serve,
};

/// Everything that callers and workspaces reach of the proxy.
pub fn router(fleet: Arc<dyn Fleet>, options: ProxyOptions) -> Router {
    let _ = (fleet, options);
    Router::new()
}
