//! The descriptor set is what reflection serves: it must be whole, and hold to the API's names.

use prost::Message;
use prost_types::FileDescriptorSet;
use vatic_proto::FILE_DESCRIPTOR_SET;

fn descriptors() -> FileDescriptorSet {
    FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("a descriptor set")
}

#[test]
fn descriptor_set_names_every_service() {
    let set = descriptors();
    let mut services: Vec<_> = set
        .file
        .iter()
        .filter(|file| file.package() == "vatic.v1")
        .flat_map(|file| file.service.iter().map(|service| service.name().to_owned()))
        .collect();
    services.sort();
    assert_eq!(
        services,
        [
            "AnomalyService",
            "ClusterService",
            "ConflictService",
            "PipelineService",
            "PolicyService",
            "QueueService",
            "RecordService",
            "TransactionService",
        ]
    );
}

#[test]
fn methods_take_and_return_messages_named_after_them() {
    for file in descriptors().file.iter().filter(|file| file.package() == "vatic.v1") {
        for method in file.service.iter().flat_map(|service| &service.method) {
            let name = method.name();
            assert_eq!(method.input_type(), format!(".vatic.v1.{name}Request"));
            assert_eq!(method.output_type(), format!(".vatic.v1.{name}Response"));
        }
    }
}

#[test]
fn enums_start_with_an_unspecified_zero() {
    for file in descriptors().file {
        let nested = file.message_type.iter().flat_map(|message| &message.enum_type);
        for each in file.enum_type.iter().chain(nested) {
            let zero = &each.value[0];
            assert_eq!(zero.number(), 0, "{}", each.name());
            assert!(zero.name().ends_with("_UNSPECIFIED"), "{}", zero.name());
        }
    }
}
