//! Turns the contract in `proto/` into Rust: messages and services, the descriptor set with all
//! its options, the field checks, and the table of methods.
//!
//! Invariant: the .proto files are the only source; an option this program does not understand
//! stops the build, so that no constraint is silently dropped.

#[path = "build/bounds.rs"]
mod bounds;
#[path = "build/checks.rs"]
mod checks;
#[path = "build/methods.rs"]
mod methods;
#[path = "build/names.rs"]
mod names;
#[path = "build/secrets.rs"]
mod secrets;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

const PROTO_DIR: &str = "../../proto";

fn main() -> Result<(), Box<dyn Error>> {
    let proto_dir = Path::new(PROTO_DIR);
    println!("cargo::rerun-if-changed={PROTO_DIR}");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);

    let mut files = Vec::new();
    collect_proto_files(proto_dir, &mut files)?;
    files.sort();

    let mut compiler = protox::Compiler::new([proto_dir])?;
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_files(&files)?;
    let pool = compiler.descriptor_pool();

    // protox keeps the bytes of extension options; prost-types would drop them.
    fs::write(
        out_dir.join("descriptors.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    fs::write(out_dir.join("checks.rs"), checks::render(&pool)?)?;
    fs::write(out_dir.join("methods.rs"), methods::render(&pool)?)?;
    fs::write(out_dir.join("secrets.rs"), secrets::render(&pool))?;

    let mut config = prost_build::Config::new();
    config
        .enable_type_names()
        .type_name_domain(["."], "type.googleapis.com")
        // Ordered, so that the same message always has the same bytes: the hub compares digests.
        .btree_map(["."])
        .skip_debug(secrets::hidden_types(&pool));
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        .include_file("modules.rs")
        .compile_fds_with_config(compiler.file_descriptor_set(), config)?;
    Ok(())
}

fn collect_proto_files(dir: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            collect_proto_files(&path, files)?;
        } else if path
            .extension()
            .is_some_and(|extension| extension == "proto")
        {
            files.push(path);
        }
    }
    Ok(())
}
