//! All routes together: the router, the rules and the document.

use std::collections::HashMap;

use axum::Router;
use http::Method;
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder,
    path::{PathItem, PathsBuilder},
    security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

use super::{
    Admin,
    route::{Access, Route, TOKEN_SCHEME, http_method},
};

/// Which rule holds for a route.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    pub(super) access: Access,
    pub(super) takes_query: bool,
}

/// By route and method. A route that is not here answers nobody.
#[derive(Debug, Default)]
pub(super) struct Rules(HashMap<(String, Method), Rule>);

impl Rules {
    /// None: there is no such route.
    pub(super) fn of(&self, method: &Method, route: &str) -> Option<Rule> {
        // Whoever may read may ask for the head alone.
        let method = if method == Method::HEAD { Method::GET } else { method.clone() };
        self.0.get(&(route.to_owned(), method)).copied()
    }
}

/// Gathers routes.
pub(super) struct Api {
    router: Router<Admin>,
    rules: Rules,
    paths: PathsBuilder,
    components: ComponentsBuilder,
}

impl Api {
    pub(super) fn new() -> Self {
        let token = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A token of `reprieve token create`, or of `admin.token`."));
        Self {
            router: Router::new(),
            rules: Rules::default(),
            paths: PathsBuilder::new(),
            components: ComponentsBuilder::new()
                .security_scheme(TOKEN_SCHEME, SecurityScheme::Http(token.build())),
        }
    }

    pub(super) fn route(mut self, mut route: Route) -> Self {
        let (method, path) = (route.method.clone(), route.path.clone());
        let rule = Rule { access: route.access, takes_query: route.takes_query };
        self.rules.0.insert((path.clone(), method.clone()), rule);
        for (name, schema) in std::mem::take(&mut route.schemas) {
            self.components = self.components.schema(name, schema);
        }
        let (operation, handler) = route.finish();
        self.paths = self.paths.path(&path, PathItem::new(http_method(&method), operation));
        self.router = self.router.route(&path, handler);
        self
    }

    pub(super) fn finish(self) -> (Router<Admin>, Rules, OpenApi) {
        let about = "Watch and run a Reprieve host: workspaces, decisions, the queue, settings, \
                     policies, tokens, audit. Every refusal is a problem of RFC 9457.";
        let info = InfoBuilder::new()
            .title("Reprieve admin API")
            .version(env!("CARGO_PKG_VERSION"))
            .description(Some(about));
        let document = OpenApiBuilder::new()
            .info(info.build())
            .paths(self.paths.build())
            .components(Some(self.components.build()))
            .build();
        (self.router, self.rules, document)
    }
}
