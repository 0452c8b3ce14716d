//! Images that are written to files, without a registry.

#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

// Not all test binaries use all of it.
#[expect(dead_code, reason = "running images is for the tests with a registry")]
mod programs;

use std::fs;

use lithops_core::{artifact::Machine, error::ErrorKind};
use lithops_image::{Image, ImageBuilder, Output};
use programs::{Program, Unpacked};

async fn unpacked(image: &Image) -> Unpacked {
    let folder = tempfile::tempdir().unwrap();
    image.write(&Output::Folder(folder.path().to_owned()), "app:1").await.unwrap();
    Unpacked::of_layout(folder.path())
}

#[tokio::test]
async fn the_same_program_is_the_same_image() {
    let own = std::env::current_exe().unwrap();
    let build = || ImageBuilder::new(&own).label("b", "2").label("a", "1").env("X", "y").build();
    let (one, other) = (build().await.unwrap(), build().await.unwrap());
    assert_eq!((one.digest(), one.size()), (other.digest(), other.size()));
    assert_eq!(one.tag(), one.digest().to_string()[..16]);
    assert_eq!(one.machine(), Machine::here());
    let changed = ImageBuilder::new(&own).label("a", "2").build().await.unwrap();
    assert_ne!(changed.digest(), one.digest());
    println!("an image of this test has {} bytes", one.size());
}

#[tokio::test]
async fn libraries_are_where_the_loader_looks_for_them() {
    let program = Program::compile("x");
    let unpacked = unpacked(&program.image().await).await;
    let absolute = program.at("absolute/libtwo.so").display().to_string();
    let hidden = program.at("hidden/libthree.so").display().to_string();
    for path in
        ["/app/bin/program", "/app/lib/libone.so", &absolute, &hidden, "/etc/ld.so.cache", "/etc/passwd"]
    {
        assert!(unpacked.paths.contains(path), "{path}: {:?}", unpacked.paths);
    }
    assert!(unpacked.paths.iter().any(|path| path.ends_with("/libc.so.6")), "{:?}", unpacked.paths);
    assert_eq!(unpacked.read(&hidden), fs::read(program.at("hidden/libthree.so")).unwrap());
    let config = &unpacked.config["config"];
    assert_eq!(config["User"], "65532");
    assert_eq!(config["Entrypoint"], serde_json::json!(["/app/bin/program"]));
}

#[tokio::test]
async fn a_library_that_is_missing_is_named_with_what_needs_it() {
    let program = Program::compile("x");
    let error = ImageBuilder::new(program.path()).build().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let needs = format!("`{}` needs the library `libthree.so`", program.at("absolute/libtwo.so").display());
    assert!(error.to_string().starts_with(&needs), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("`library_folder`")), "{error}");

    fs::write(program.at("script"), "#!/bin/sh\n").unwrap();
    let error = ImageBuilder::new(program.at("script")).build().await.unwrap_err().to_string();
    assert!(error.contains("script` is no program"), "{error}");
    let error = ImageBuilder::new(program.at("none")).build().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

#[cfg(target_arch = "x86_64")]
#[tokio::test]
async fn a_library_for_newer_processors_is_refused_unless_it_is_allowed() {
    let program = Program::compile_with("x", "-Wl,-z,x86-64-v3");
    let error = program.builder().build().await.unwrap_err().to_string();
    let needs =
        format!("`{}` needs a processor of level x86-64-v3", program.at("hidden/libthree.so").display());
    assert!(error.starts_with(&needs) && error.contains("`newer_processors`"), "{error}");
    program.builder().newer_processors(true).build().await.unwrap();
}

#[tokio::test]
async fn files_beside_the_program_are_in_the_image() {
    let program = Program::compile("x");
    fs::create_dir_all(program.at("data/inner")).unwrap();
    fs::write(program.at("data/inner/a"), "a").unwrap();
    let image = program.builder().with(program.at("data"), "/data").arg("--x").build().await.unwrap();
    let unpacked = unpacked(&image).await;
    assert_eq!(unpacked.read("/data/inner/a"), b"a");
    assert_eq!(unpacked.config["config"]["Cmd"], serde_json::json!(["--x"]));
    let error =
        program.builder().with(program.at("data/inner/a"), "/app/bin/program").build().await.unwrap_err();
    assert!(error.to_string().contains("two different files"), "{error}");
}

#[tokio::test]
async fn a_folder_keeps_the_other_images_that_are_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let output: Output = format!("oci:{}", folder.path().display()).parse().unwrap();
    for (note, name) in [("x", "app:1"), ("y", "app:2"), ("z", "app:1")] {
        Program::compile(note).image().await.write(&output, name).await.unwrap();
    }
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.path().join("index.json")).unwrap()).unwrap();
    let names: Vec<_> = index["manifests"].as_array().unwrap().iter().collect();
    assert_eq!(names.len(), 2, "{index}");
    assert_eq!(names[1]["annotations"]["org.opencontainers.image.ref.name"], "app:1");
    for wrong in ["", "oci:", "zip:x", "x"] {
        assert!(wrong.parse::<Output>().is_err(), "{wrong}");
    }
}
