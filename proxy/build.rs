//! Generates the discovery protocol's messages and services; protox stands in for protoc, so nothing has to be installed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["proto/discovery.proto", "proto/health.proto", "proto/mesh.proto"];
    for file in files {
        println!("cargo::rerun-if-changed={file}");
    }
    let descriptors = protox::compile(files, ["proto"])?;
    // In order, so that the same labels are always the same bytes: versions are made from them.
    let configured = tonic_prost_build::configure().btree_map(".outrigger.mesh.v1");
    configured.compile_fds(descriptors)?;
    Ok(())
}
