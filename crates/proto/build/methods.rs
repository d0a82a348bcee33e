//! Writes the table of methods: paths, message names and what their operations carry.

use std::fmt::Write as _;

use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, Value};

const OPERATION_OPTION: &str = "yandex.cloud.api.operation";

/// The Rust text of the table.
pub fn render(pool: &DescriptorPool) -> Result<String, String> {
    let mut services: Vec<_> = pool.services().collect();
    services.sort_by(|a, b| a.full_name().cmp(b.full_name()));
    let mut out = String::from("&[\n");
    for service in services {
        for method in service.methods() {
            let operation = operation_types(pool, &method)?;
            let _ = writeln!(
                out,
                "Method {{ path: \"/{service}/{name}\", service: {service:?}, name: {name:?}, \
                 request: {request:?}, response: {response:?}, client_streaming: {client}, \
                 server_streaming: {server}, operation: {operation} }},",
                service = service.full_name(),
                name = method.name(),
                request = method.input().full_name(),
                response = method.output().full_name(),
                client = method.is_client_streaming(),
                server = method.is_server_streaming(),
            );
        }
    }
    out.push(']');
    Ok(out)
}

fn operation_types(pool: &DescriptorPool, method: &MethodDescriptor) -> Result<String, String> {
    let extension = pool
        .get_extension_by_name(OPERATION_OPTION)
        .ok_or("the contract lacks the operation option")?;
    let options = method.options();
    if !options.has_extension(&extension) {
        return Ok("None".to_owned());
    }
    let value = options.get_extension(&extension);
    let Value::Message(option) = value.as_ref() else {
        return Err(format!(
            "the operation option of {} is no message",
            method.full_name()
        ));
    };
    let metadata = full_type_name(pool, method, option, "metadata")?;
    let response = full_type_name(pool, method, option, "response")?;
    Ok(format!(
        "Some(OperationTypes {{ metadata: {metadata:?}, response: {response:?} }})"
    ))
}

/// Finds the message an option names, looking outwards from the scope of the service.
fn full_type_name(
    pool: &DescriptorPool,
    method: &MethodDescriptor,
    option: &DynamicMessage,
    field: &str,
) -> Result<String, String> {
    let value = option
        .get_field_by_name(field)
        .ok_or_else(|| format!("the operation option has no field {field}"))?;
    let name = value.as_str().unwrap_or_default();
    let mut scope = method.parent_service().package_name().to_owned();
    loop {
        let candidate = if scope.is_empty() {
            name.to_owned()
        } else {
            format!("{scope}.{name}")
        };
        if let Some(message) = pool.get_message_by_name(&candidate) {
            return Ok(message.full_name().to_owned());
        }
        if scope.is_empty() {
            return Err(format!(
                "{}: {field} type {name:?} is unknown",
                method.full_name()
            ));
        }
        scope.truncate(scope.rfind('.').unwrap_or(0));
    }
}
