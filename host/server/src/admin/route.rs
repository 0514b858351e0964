//! One route: what it is, who may use it and what it answers, in one place.

use std::borrow::Cow;

use axum::{
    extract::DefaultBodyLimit,
    handler::Handler,
    routing::{MethodFilter, MethodRouter, on},
};
use http::{Method, StatusCode};
use reprieve_core::access::Role;
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{
        Content, HttpMethod, Ref, RefOr, Required, ResponseBuilder, Schema, SecurityRequirement,
        extensions::ExtensionsBuilder,
        header::Header,
        path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
        request_body::RequestBodyBuilder,
        schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type},
    },
};

use super::{
    Admin,
    problem::{PROBLEM_JSON, Problem},
};

/// Where all routes are.
pub(super) const PREFIX: &str = "/admin/v1";

/// What the document calls the way of showing a token.
pub(super) const TOKEN_SCHEME: &str = "token";

/// The largest body, where a route does not say otherwise.
const BODY_LIMIT_BYTES: usize = 64 << 10;

/// Whose a request is about, and how that is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// Nobody's: the same for every token.
    Nobody,
    /// The whole fleet's: only for tokens of all tenants.
    Fleet,
    /// Many at once: the handler leaves out what the caller does not see.
    Listed,
    /// The workspace `{workspace}` of the path says whose.
    Workspace,
    /// The path says it: `{tenant}`.
    Tenant,
    /// The handler finds out whose it is, and answers 404 to those who do not see
    /// it.
    Found,
}

impl Of {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Fleet => "fleet",
            Self::Listed => "listed",
            Self::Workspace => "workspace",
            Self::Tenant => "tenant",
            Self::Found => "found",
        }
    }
}

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Whoever comes, without a token. Tells nothing but that the host lives.
    Open,
    /// Who shows a token of this role or a higher one.
    Token(Role, Of),
}

/// One route of the API and its part of the document.
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) access: Access,
    pub(super) handler: MethodRouter<Admin>,
    pub(super) schemas: Vec<(String, RefOr<Schema>)>,
    pub(super) takes_query: bool,
    operation: OperationBuilder,
    body_limit_bytes: usize,
}

impl Route {
    /// A route below [`PREFIX`].
    pub(super) fn new<H, T>(method: Method, path: &str, access: Access, handler: H) -> Self
    where
        H: Handler<T, Admin>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::GET);
        let mut route = Self {
            path: format!("{PREFIX}{path}"),
            access,
            handler: on(filter, handler),
            schemas: Vec::new(),
            takes_query: false,
            operation: OperationBuilder::new()
                .operation_id(Some(operation_id(&method, path)))
                .tag(path.split('/').nth(1).unwrap_or_default()),
            body_limit_bytes: BODY_LIMIT_BYTES,
            method,
        };
        for name in parameters(path) {
            route.operation = route.operation.parameter(path_parameter(name));
        }
        route.ruled()
    }

    /// What its rule alone leads to.
    fn ruled(self) -> Self {
        let Access::Token(role, of) = self.access else { return self };
        let extensions = ExtensionsBuilder::new()
            .add("x-reprieve-role", role.as_str())
            .add("x-reprieve-of", of.as_str())
            .build();
        let mut route = self;
        route.operation = route
            .operation
            .extensions(Some(extensions))
            .security(SecurityRequirement::new::<_, [&str; 0], &str>(TOKEN_SCHEME, []));
        let mut route = route
            .refuses(400, "The request cannot be read, or holds what is not known.")
            .refuses(401, "No token, or one that is unknown or expired.")
            .refuses(403, "The token's role or tenants do not allow it.")
            .refuses(429, "Too many requests; `Retry-After` says when.")
            .refuses(503, "The host's store is unavailable.");
        if parameters(&route.path).next().is_some() {
            route = route.refuses(404, "There is none, or it is none of the token's tenants'.");
        }
        route
    }

    /// What it does: a line, and what else there is to know.
    pub(super) fn says(mut self, summary: &str, description: &str) -> Self {
        self.operation = self.operation.summary(Some(summary));
        if !description.is_empty() {
            self.operation = self.operation.description(Some(description));
        }
        self
    }

    /// It takes this query.
    pub(super) fn query<T: IntoParams>(mut self) -> Self {
        self.takes_query = true;
        let query = T::into_params(|| Some(ParameterIn::Query));
        self.operation = self.operation.parameters(Some(query));
        self
    }

    /// It takes this body, as JSON.
    pub(super) fn body<T: ToSchema>(mut self) -> Self {
        let content = Content::new(Some(self.schema::<T>()));
        self.takes("application/json", content).refuses(415, "The body is no JSON.")
    }

    /// It takes this body as it is, of at most so many bytes.
    pub(super) fn bytes(mut self, media_type: &str, limit: usize) -> Self {
        let binary = SchemaFormat::KnownFormat(KnownFormat::Binary);
        let content = ObjectBuilder::new().schema_type(Type::String).format(Some(binary));
        self.body_limit_bytes = limit;
        self.takes(media_type, Content::new(Some(content)))
            .refuses(415, &format!("The body is not said to be {media_type}."))
    }

    fn takes(mut self, media_type: &str, content: Content) -> Self {
        let body = RequestBodyBuilder::new().content(media_type, content);
        let body = body.required(Some(Required::True)).build();
        self.operation = self.operation.request_body(Some(body));
        self.refuses(408, "The body did not come in time.")
            .refuses(413, "The body is too large.")
            .refuses(422, "The body can be read, and is not valid.")
    }

    /// It looks at this header, if it is there.
    pub(super) fn header(mut self, name: &str, pattern: &str, says: &str) -> Self {
        let schema = ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern));
        let header = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(says))
            .schema(Some(schema));
        self.operation = self.operation.parameter(header);
        self
    }

    /// It honours `If-Match`; where that is `required`, it refuses to do without.
    pub(super) fn conditional(mut self, required: bool) -> Self {
        let if_match = ParameterBuilder::new()
            .name("if-match")
            .parameter_in(ParameterIn::Header)
            .required(if required { Required::True } else { Required::False })
            .description(Some("The ETag of what was seen: refused if it has changed since."))
            .schema(Some(
                ObjectBuilder::new().schema_type(Type::String).pattern(Some(IF_MATCH_PATTERN)),
            ));
        self.operation = self.operation.parameter(if_match);
        let route = self.refuses(412, "It has changed meanwhile: `If-Match` does not match.");
        match required {
            true => route.refuses(428, "`If-Match` is missing."),
            false => route,
        }
    }

    /// It answers so, with this as JSON.
    pub(super) fn answers<T: ToSchema>(self, status: StatusCode, says: &str) -> Self {
        self.answers_as::<T>(status, says, "application/json")
    }

    /// It answers so, with this in another form.
    pub(super) fn answers_as<T: ToSchema>(
        mut self,
        status: StatusCode,
        says: &str,
        media_type: &str,
    ) -> Self {
        let content = Content::new(Some(self.schema::<T>()));
        let answer = ResponseBuilder::new().description(says).content(media_type, content);
        self.operation = self.operation.response(status.as_str(), answer);
        self
    }

    /// It answers so, with an `ETag`.
    pub(super) fn answers_tagged<T: ToSchema>(mut self, status: StatusCode, says: &str) -> Self {
        let content = Content::new(Some(self.schema::<T>()));
        let answer = ResponseBuilder::new()
            .description(says)
            .content("application/json", content)
            .header("etag", Header::new(ObjectBuilder::new().schema_type(Type::String)));
        self.operation = self.operation.response(status.as_str(), answer);
        self
    }

    /// It answers so, with nothing more.
    pub(super) fn answers_nothing(mut self, status: StatusCode, says: &str) -> Self {
        let answer = ResponseBuilder::new().description(says);
        self.operation = self.operation.response(status.as_str(), answer);
        self
    }

    /// It refuses so, with a problem.
    pub(super) fn refuses(mut self, status: u16, says: &str) -> Self {
        let content = Content::new(Some(self.schema::<Problem>()));
        let mut answer = ResponseBuilder::new().description(says).content(PROBLEM_JSON, content);
        if matches!(status, 429 | 503) {
            let seconds = ObjectBuilder::new().schema_type(Type::Integer);
            answer = answer.header("retry-after", Header::new(seconds));
        }
        self.operation = self.operation.response(status.to_string(), answer);
        self
    }

    /// Its part of the document, and what runs it.
    pub(super) fn finish(self) -> (Operation, MethodRouter<Admin>) {
        let limit = DefaultBodyLimit::max(self.body_limit_bytes);
        (self.operation.build(), self.handler.layer(limit))
    }

    /// A reference to that schema, which goes into the document with all that it
    /// refers to.
    fn schema<T: ToSchema>(&mut self) -> RefOr<Schema> {
        T::schemas(&mut self.schemas);
        let name: Cow<'static, str> = T::name();
        self.schemas.push((name.to_string(), <T as PartialSchema>::schema()));
        RefOr::Ref(Ref::from_schema_name(name))
    }
}

/// As the document names methods.
pub(super) fn http_method(method: &Method) -> HttpMethod {
    match method.as_str() {
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "DELETE" => HttpMethod::Delete,
        "PATCH" => HttpMethod::Patch,
        _ => HttpMethod::Get,
    }
}

/// `get_workspaces_workspace`
fn operation_id(method: &Method, path: &str) -> String {
    let mut id = method.as_str().to_lowercase();
    for part in path.split(['/', '.']).filter(|part| !part.is_empty()) {
        id.push('_');
        id.push_str(part.trim_matches(['{', '}']));
    }
    id
}

fn parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn path_parameter(name: &str) -> Parameter {
    let (says, pattern) = match name {
        "workspace" => ("The workspace's name.", NAME_PATTERN),
        "tenant" => ("The tenant's name.", NAME_PATTERN),
        "token" => ("The token's name.", NAME_PATTERN),
        "experiment" => ("The experiment's name.", NAME_PATTERN),
        "decision" => ("The decision's id.", ID_PATTERN),
        "change" => ("The number of a change of settings.", NUMBER_PATTERN),
        "item" => ("The queued request's id.", ID_PATTERN),
        _ => ("", NAME_PATTERN),
    };
    let schema = ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern));
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description((!says.is_empty()).then_some(says))
        .schema(Some(schema))
        .build()
}

/// `*`, or tags in quotes.
const IF_MATCH_PATTERN: &str = r#"^(\*|(W/)?"[0-9A-Za-z]*"(, ?(W/)?"[0-9A-Za-z]*"){0,15})$"#;

/// As `reprieve_core::ids` takes names.
const NAME_PATTERN: &str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$";

/// No larger than the numbers that JSON's usual readers tell apart.
const NUMBER_PATTERN: &str = "^[0-9]{1,15}$";

/// A UUID.
const ID_PATTERN: &str = "^[0-9a-fA-F-]{1,36}$";
