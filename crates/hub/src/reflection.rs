//! gRPC server reflection, v1 and v1alpha, over the raw bytes of the contract.
//!
//! Invariant: a file is served exactly as the compiler wrote it, with the options of other packages
//! that a decoded and re-encoded descriptor would lose. Deliberately absent: descriptors of
//! anything the hub does not serve.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use prost::Message;
use prost_types::{DescriptorProto, FileDescriptorProto};
use tonic::{Request, Response, Status, Streaming};
use tonic_reflection::pb::{v1, v1alpha};

/// A `FileDescriptorSet` read as raw files: field 1, repeated bytes on the wire.
#[derive(Clone, PartialEq, Message)]
struct RawFiles {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    file: Vec<Bytes>,
}

/// What reflection answers from.
#[derive(Debug)]
pub struct Descriptors {
    files: BTreeMap<String, Bytes>,
    symbols: HashMap<String, String>,
    extensions: HashMap<(String, i32), String>,
    services: Vec<String>,
}

impl Descriptors {
    /// Reads descriptor sets. Of a file that stands in several, the first is kept.
    ///
    /// # Errors
    /// When a set is not a `google.protobuf.FileDescriptorSet`.
    pub fn read(sets: &[&[u8]]) -> anyhow::Result<Self> {
        let mut descriptors = Self {
            files: BTreeMap::new(),
            symbols: HashMap::new(),
            extensions: HashMap::new(),
            services: Vec::new(),
        };
        for set in sets {
            for raw in RawFiles::decode(*set)?.file {
                descriptors.add(raw)?;
            }
        }
        descriptors.services.sort();
        Ok(descriptors)
    }

    fn add(&mut self, raw: Bytes) -> anyhow::Result<()> {
        let file = FileDescriptorProto::decode(raw.clone())?;
        let (name, package) = (file.name().to_owned(), file.package().to_owned());
        if self.files.contains_key(&name) {
            return Ok(());
        }
        for service in &file.service {
            let full = qualify(&package, service.name());
            for method in &service.method {
                self.symbols
                    .insert(qualify(&full, method.name()), name.clone());
            }
            self.services.push(full.clone());
            self.symbols.insert(full, name.clone());
        }
        for message in &file.message_type {
            self.add_message(&name, &package, message);
        }
        for item in &file.enum_type {
            self.symbols
                .insert(qualify(&package, item.name()), name.clone());
        }
        for extension in &file.extension {
            self.add_extension(&name, &package, extension);
        }
        self.files.insert(name, raw);
        Ok(())
    }

    fn add_message(&mut self, file: &str, scope: &str, message: &DescriptorProto) {
        let full = qualify(scope, message.name());
        for nested in &message.nested_type {
            self.add_message(file, &full, nested);
        }
        for item in &message.enum_type {
            self.symbols
                .insert(qualify(&full, item.name()), file.to_owned());
        }
        for extension in &message.extension {
            self.add_extension(file, &full, extension);
        }
        self.symbols.insert(full, file.to_owned());
    }

    fn add_extension(
        &mut self,
        file: &str,
        scope: &str,
        extension: &prost_types::FieldDescriptorProto,
    ) {
        self.symbols
            .insert(qualify(scope, extension.name()), file.to_owned());
        let extendee = extension.extendee().trim_start_matches('.').to_owned();
        self.extensions
            .insert((extendee, extension.number()), file.to_owned());
    }

    /// Names of all served services.
    #[must_use]
    pub fn services(&self) -> &[String] {
        &self.services
    }

    fn answer(&self, question: &Question) -> Answer {
        let of_file = |file: Option<&String>| {
            file.and_then(|name| self.files.get(name))
                .map_or(Answer::NotFound, |raw| Answer::Files(vec![raw.to_vec()]))
        };
        match question {
            Question::File(name) => of_file(Some(name)),
            Question::Symbol(symbol) => of_file(self.symbols.get(symbol)),
            Question::Extension(of, number) => of_file(self.extensions.get(&(of.clone(), *number))),
            Question::ExtensionNumbers(of) => {
                let mut numbers: Vec<i32> = self
                    .extensions
                    .keys()
                    .filter(|(extendee, _)| extendee == of)
                    .map(|(_, number)| *number)
                    .collect();
                numbers.sort_unstable();
                if numbers.is_empty() && !self.symbols.contains_key(of) {
                    return Answer::NotFound;
                }
                Answer::ExtensionNumbers(of.clone(), numbers)
            }
            Question::Services => Answer::Services(self.services.clone()),
        }
    }
}

fn qualify(scope: &str, name: &str) -> String {
    if scope.is_empty() {
        name.to_owned()
    } else {
        format!("{scope}.{name}")
    }
}

enum Question {
    File(String),
    Symbol(String),
    Extension(String, i32),
    ExtensionNumbers(String),
    Services,
}

enum Answer {
    Files(Vec<Vec<u8>>),
    ExtensionNumbers(String, Vec<i32>),
    Services(Vec<String>),
    NotFound,
}

/// The reflection services of both versions.
#[derive(Debug, Clone)]
pub struct Reflection(Arc<Descriptors>);

impl Reflection {
    /// Serves `descriptors`.
    #[must_use]
    pub fn new(descriptors: Arc<Descriptors>) -> Self {
        Self(descriptors)
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

// The two versions have the same messages under two names.
macro_rules! reflection_service {
    ($version:ident) => {
        #[tonic::async_trait]
        impl $version::server_reflection_server::ServerReflection for Reflection {
            type ServerReflectionInfoStream = Answers<$version::ServerReflectionResponse>;

            async fn server_reflection_info(
                &self,
                request: Request<Streaming<$version::ServerReflectionRequest>>,
            ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
                use $version::server_reflection_request::MessageRequest;
                use $version::server_reflection_response::MessageResponse;
                let descriptors = Arc::clone(&self.0);
                let answers = request.into_inner().map(move |request| {
                    let request = request?;
                    let question = match request.message_request.clone() {
                        Some(MessageRequest::FileByFilename(name)) => Question::File(name),
                        Some(MessageRequest::FileContainingSymbol(name)) => Question::Symbol(name),
                        Some(MessageRequest::FileContainingExtension(of)) => {
                            Question::Extension(of.containing_type, of.extension_number)
                        }
                        Some(MessageRequest::AllExtensionNumbersOfType(of)) => {
                            Question::ExtensionNumbers(of)
                        }
                        Some(MessageRequest::ListServices(_)) => Question::Services,
                        None => {
                            return Err(Status::invalid_argument(
                                "message_request: say what to look up",
                            ));
                        }
                    };
                    let answer = match descriptors.answer(&question) {
                        Answer::Files(files) => MessageResponse::FileDescriptorResponse(
                            $version::FileDescriptorResponse {
                                file_descriptor_proto: files,
                            },
                        ),
                        Answer::ExtensionNumbers(base_type_name, extension_number) => {
                            MessageResponse::AllExtensionNumbersResponse(
                                $version::ExtensionNumberResponse {
                                    base_type_name,
                                    extension_number,
                                },
                            )
                        }
                        Answer::Services(names) => {
                            MessageResponse::ListServicesResponse($version::ListServiceResponse {
                                service: names
                                    .into_iter()
                                    .map(|name| $version::ServiceResponse { name })
                                    .collect(),
                            })
                        }
                        Answer::NotFound => {
                            MessageResponse::ErrorResponse($version::ErrorResponse {
                                error_code: tonic::Code::NotFound as i32,
                                error_message: "the hub serves no such file or symbol".into(),
                            })
                        }
                    };
                    Ok($version::ServerReflectionResponse {
                        valid_host: request.host.clone(),
                        original_request: Some(request),
                        message_response: Some(answer),
                    })
                });
                Ok(Response::new(Box::pin(answers)))
            }
        }
    };
}

reflection_service!(v1);
reflection_service!(v1alpha);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_bytes_come_back_unchanged() {
        let descriptors =
            Descriptors::read(&[v1::FILE_DESCRIPTOR_SET, v1::FILE_DESCRIPTOR_SET]).unwrap();
        assert_eq!(
            descriptors.services(),
            ["grpc.reflection.v1.ServerReflection"]
        );
        let raw = RawFiles::decode(v1::FILE_DESCRIPTOR_SET).unwrap();
        for symbol in [
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1.ServerReflection.ServerReflectionInfo",
            "grpc.reflection.v1.ErrorResponse",
        ] {
            let Answer::Files(files) = descriptors.answer(&Question::Symbol(symbol.into())) else {
                panic!("{symbol} is missing");
            };
            assert_eq!(files[0], raw.file[0]);
        }
        assert!(matches!(
            descriptors.answer(&Question::Symbol("x.Y".into())),
            Answer::NotFound
        ));
    }
}
