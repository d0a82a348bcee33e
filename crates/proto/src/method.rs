//! The methods of all services.

/// One method of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Method {
    /// The HTTP/2 path of its calls: `/package.Service/Name`.
    pub path: &'static str,
    /// Full name of the service.
    pub service: &'static str,
    /// Name within the service.
    pub name: &'static str,
    /// Full name of the request message.
    pub request: &'static str,
    /// Full name of the response message.
    pub response: &'static str,
    /// Whether the client sends a stream.
    pub client_streaming: bool,
    /// Whether the server sends a stream.
    pub server_streaming: bool,
    /// What the returned operation carries; `None` when the method answers at once.
    pub operation: Option<OperationTypes>,
}

/// Full names of the messages inside an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperationTypes {
    /// The type of `Operation.metadata`.
    pub metadata: &'static str,
    /// The type of `Operation.response`.
    pub response: &'static str,
}

/// Every method, ordered by service; within a service as in the contract.
pub static METHODS: &[Method] = include!(concat!(env!("OUT_DIR"), "/methods.rs"));

/// The method called at `path`, such as `/yandex.cloud.operation.OperationService/Get`.
#[must_use]
pub fn find_method(path: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_method_names_its_types_in_full() {
        let method =
            find_method("/yandex.cloud.organizationmanager.v1.GroupService/UpdateAccessBindings")
                .expect("the method is in the contract");
        assert_eq!(method.response, "yandex.cloud.operation.Operation");
        assert_eq!(
            method.operation,
            Some(OperationTypes {
                metadata: "yandex.cloud.access.UpdateAccessBindingsMetadata",
                response: "yandex.cloud.access.AccessBindingsOperationResult",
            })
        );
    }

    #[test]
    fn operations_and_only_operations_declare_their_types() {
        for method in METHODS {
            let is_operation = method.response == "yandex.cloud.operation.Operation"
                && method.service != "yandex.cloud.operation.OperationService";
            assert_eq!(method.operation.is_some(), is_operation, "{}", method.path);
        }
    }
}
