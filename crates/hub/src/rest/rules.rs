//! The table of HTTP rules, read from the `google.api.http` options of the contract.
//!
//! Invariant: one method and path lead to at most one rpc; literals win over variables. The table
//! is built once at the start and refuses a contract it cannot serve. Streaming rpcs have no REST
//! form and are left out. Deliberately absent: `response_body` and wildcards over several
//! segments, which the interface does not use.

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;
use http::uri::PathAndQuery;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MethodDescriptor, Value,
};

use super::field_path::FieldPath;
use super::path::RequestPath;
use super::template::{Segment, Template};

/// Forms that the documentation of the interface gives beside those in its options: cancelling
/// changes something, so clients send it as POST (decision record 0002).
const DOCUMENTED_RULES: [(&str, Method, &str); 1] = [(
    "yandex.cloud.operation.OperationService.Cancel",
    Method::POST,
    "/operations/{operation_id}:cancel",
)];

/// Why the table could not be built: a fault of the contract, found at the start.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// The contract came without the definition of the option.
    #[error("the contract does not define the option google.api.http")]
    NoHttpOption,
    /// A message the transcoder needs is missing.
    #[error("the contract does not define {0}")]
    NoMessage(&'static str),
    /// The definitions of the error details could not be added.
    #[error("the error details cannot be added to the contract")]
    ErrorDetails(#[source] prost_reflect::DescriptorError),
    /// One rule cannot be served.
    #[error("the HTTP rule of {rpc} {why}")]
    Rule {
        /// Full name of the rpc.
        rpc: String,
        /// What is wrong.
        why: String,
    },
}

/// Which part of the message the body of a request is.
#[derive(Debug, Clone, PartialEq)]
pub enum BodyRule {
    /// There is none; a body that is sent is not read.
    None,
    /// The whole message.
    Whole,
    /// One field.
    Field(FieldDescriptor),
}

/// One way to call one rpc.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The HTTP method.
    pub method: Method,
    /// The path template as the contract writes it.
    pub template_text: String,
    /// The rpc.
    pub rpc: MethodDescriptor,
    /// What the body is.
    pub body: BodyRule,
    pub(super) grpc_path: PathAndQuery,
    pub(super) variables: Vec<FieldPath>,
    template: Template,
}

impl Rule {
    /// The path template with the JSON names of its variables: `/pools/{userpoolId}:suspend`.
    pub(super) fn readable_path(&self) -> String {
        let mut path = String::new();
        let mut variables = self.variables.iter();
        for segment in &self.template.segments {
            path.push('/');
            match (segment, variables.len()) {
                (Segment::Literal(literal), _) => path.push_str(literal),
                (Segment::Variable(name), 0) => path.push_str(name),
                (Segment::Variable(_), _) => {
                    let name = variables.next().map(FieldPath::json_name);
                    path.push_str(&format!("{{{}}}", name.unwrap_or_default()));
                }
            }
        }
        if let Some(verb) = &self.template.verb {
            path.push(':');
            path.push_str(verb);
        }
        path
    }
}

/// What a method and path lead to.
#[derive(Debug)]
pub(super) enum Lookup<'t, 'p> {
    /// A rule, with the values of its variables in its order.
    Found(&'t Arc<Rule>, Vec<&'p str>),
    /// The path exists with these methods.
    OtherMethods(Vec<Method>),
    /// No rule has this path.
    Nothing,
}

/// All rules of a contract.
#[derive(Debug)]
pub struct RuleTable {
    by_length_and_verb: HashMap<(usize, Option<String>), Vec<Arc<Rule>>>,
}

impl RuleTable {
    /// Reads the rules of every service in `pool`.
    ///
    /// # Errors
    /// When a rule cannot be served or two rules collide.
    pub fn read(pool: &DescriptorPool) -> Result<Self, RuleError> {
        let option = pool
            .get_extension_by_name("google.api.http")
            .ok_or(RuleError::NoHttpOption)?;
        let mut table = Self {
            by_length_and_verb: HashMap::new(),
        };
        for rpc in pool
            .services()
            .flat_map(|service| service.methods().collect::<Vec<_>>())
        {
            if rpc.is_client_streaming() || rpc.is_server_streaming() {
                continue;
            }
            let options = rpc.options();
            if !options.has_extension(&option) {
                continue;
            }
            if let Some(http_rule) = options.get_extension(&option).as_message() {
                table.add_http_rule(&rpc, http_rule)?;
            }
            for (name, method, template) in &DOCUMENTED_RULES {
                if rpc.full_name() == *name {
                    table.add(&rpc, method.clone(), template, "")?;
                }
            }
        }
        for rules in table.by_length_and_verb.values_mut() {
            rules.sort_by(|a, b| a.template.segments.cmp(&b.template.segments));
        }
        Ok(table)
    }

    /// Every rule, in no particular order.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.by_length_and_verb
            .values()
            .flatten()
            .map(AsRef::as_ref)
    }

    /// Finds the rule for a request.
    pub(super) fn find<'t, 'p>(&'t self, method: &Method, path: &'p RequestPath) -> Lookup<'t, 'p> {
        if let Some(with_verb) = &path.with_verb {
            let found = self.find_in(method, &with_verb.segments, Some(with_verb.verb.clone()));
            if !matches!(found, Lookup::Nothing) {
                return found;
            }
            // No such verb, so the colon may belong to a value: an external id may hold one. With
            // another method it is more likely a mistyped verb, which leads nowhere.
            return match self.find_in(method, &path.plain, None) {
                Lookup::OtherMethods(_) => Lookup::Nothing,
                found => found,
            };
        }
        self.find_in(method, &path.plain, None)
    }

    fn find_in<'t, 'p>(
        &'t self,
        method: &Method,
        segments: &'p [String],
        verb: Option<String>,
    ) -> Lookup<'t, 'p> {
        let mut others = Vec::new();
        let rules = self.by_length_and_verb.get(&(segments.len(), verb));
        for rule in rules.into_iter().flatten() {
            let Some(values) = rule.template.matches(segments) else {
                continue;
            };
            if rule.method == *method {
                return Lookup::Found(rule, values);
            }
            others.push(rule.method.clone());
        }
        if others.is_empty() {
            Lookup::Nothing
        } else {
            Lookup::OtherMethods(others)
        }
    }

    fn add_http_rule(
        &mut self,
        rpc: &MethodDescriptor,
        rule: &DynamicMessage,
    ) -> Result<(), RuleError> {
        let refuse = |why: &str| RuleError::Rule {
            rpc: rpc.full_name().to_owned(),
            why: why.to_owned(),
        };
        if !text_of(rule, "response_body").is_empty() {
            return Err(refuse("has a response_body, which is not supported"));
        }
        let (method, template) = pattern_of(rule).ok_or_else(|| refuse("has no usable pattern"))?;
        self.add(rpc, method, &template, &text_of(rule, "body"))?;
        if let Some(more) = rule.get_field_by_name("additional_bindings") {
            for binding in more.as_list().unwrap_or_default() {
                let Some(binding) = binding.as_message() else {
                    continue;
                };
                if binding
                    .get_field_by_name("additional_bindings")
                    .is_some_and(|inner| inner.as_list().is_some_and(|list| !list.is_empty()))
                {
                    return Err(refuse("nests additional_bindings"));
                }
                self.add_http_rule(rpc, binding)?;
            }
        }
        Ok(())
    }

    fn add(
        &mut self,
        rpc: &MethodDescriptor,
        method: Method,
        template_text: &str,
        body: &str,
    ) -> Result<(), RuleError> {
        let refuse = |why: String| RuleError::Rule {
            rpc: rpc.full_name().to_owned(),
            why,
        };
        let template = Template::parse(template_text).map_err(&refuse)?;
        let input = rpc.input();
        let mut variables = Vec::new();
        for name in template.variables() {
            let path = FieldPath::resolve(&input, name)
                .filter(|path| !path.last().is_list() && !path.last().is_map())
                .filter(|path| !matches!(path.last().kind(), Kind::Message(_)))
                .ok_or_else(|| {
                    refuse(format!("has the variable {name}, which is not one value"))
                })?;
            variables.push(path);
        }
        let body = match body {
            "" => BodyRule::None,
            "*" => BodyRule::Whole,
            name => BodyRule::Field(
                input
                    .get_field_by_name(name)
                    .ok_or_else(|| refuse(format!("has the body {name}, which is not a field")))?,
            ),
        };
        let service = rpc.parent_service();
        let grpc_path = format!("/{}/{}", service.full_name(), rpc.name())
            .parse()
            .map_err(|_| refuse("has a name that is not a path".to_owned()))?;
        let rules = self
            .by_length_and_verb
            .entry((template.segments.len(), template.verb.clone()))
            .or_default();
        if let Some(other) = rules
            .iter()
            .find(|other| other.method == method && other.template.shape() == template.shape())
        {
            return Err(refuse(format!(
                "collides with that of {}",
                other.rpc.full_name()
            )));
        }
        rules.push(Arc::new(Rule {
            method,
            template_text: template_text.to_owned(),
            rpc: rpc.clone(),
            body,
            grpc_path,
            variables,
            template,
        }));
        Ok(())
    }
}

fn text_of(message: &DynamicMessage, field: &str) -> String {
    message
        .get_field_by_name(field)
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// The method and template of a rule; exactly one of the alternatives is set.
fn pattern_of(rule: &DynamicMessage) -> Option<(Method, String)> {
    const METHODS: [(&str, Method); 5] = [
        ("get", Method::GET),
        ("put", Method::PUT),
        ("post", Method::POST),
        ("delete", Method::DELETE),
        ("patch", Method::PATCH),
    ];
    for (field, method) in METHODS {
        if rule.has_field_by_name(field) {
            return Some((method, text_of(rule, field)));
        }
    }
    let custom = rule.get_field_by_name("custom")?;
    let Value::Message(custom) = custom.as_ref() else {
        return None;
    };
    let kind = text_of(custom, "kind").parse().ok()?;
    Some((kind, text_of(custom, "path")))
}
