//! The contract as data.

use std::sync::LazyLock;

use prost_reflect::DescriptorPool;

/// The serialized `google.protobuf.FileDescriptorSet` of the contract and all its imports, with
/// every option and with the comments.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    // The build made these bytes from a pool; a test decodes them.
    DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap_or_default()
});

/// All messages, enums and services of the contract, for reflection and JSON.
#[must_use]
pub fn descriptor_pool() -> &'static DescriptorPool {
    &POOL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_bytes_decode_with_their_options() {
        let pool = descriptor_pool();
        let method = pool
            .get_service_by_name(
                "yandex.cloud.organizationmanager.v1.idp.SynchronizationSessionService",
            )
            .and_then(|service| {
                service
                    .methods()
                    .find(|method| method.name() == "OpenSession")
            })
            .expect("the service is in the contract");
        let http = pool
            .get_extension_by_name("google.api.http")
            .expect("the HTTP option is in the contract");
        let options = method.options();
        let rule = options.get_extension(&http);
        let rule = rule.as_message().expect("an HTTP rule");
        assert_eq!(
            rule.get_field_by_name("post")
                .and_then(|path| path.as_str().map(str::to_owned))
                .as_deref(),
            Some("/organization-manager/v1/idp/synchronization-sessions:open")
        );
    }
}
