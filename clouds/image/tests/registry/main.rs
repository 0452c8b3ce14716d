//! Images in a real registry, Debian's `docker-registry`, read by an independent client, `skopeo`.

#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

#[cfg(feature = "containerd-tests")]
mod containerd;
#[path = "../programs/mod.rs"]
mod programs;
mod server;
mod skopeo;

use lithops_core::{artifact::Machine, error::ErrorKind};
use lithops_image::{Image, ImageBuilder, Login, Logins, Output, Pushed, Reference, Repository};
use programs::{Program, Unpacked};
use server::Server;

async fn open(name: &str, logins: &Logins) -> Repository {
    Repository::open(&reference(name), logins).await.unwrap()
}

async fn push(image: &Image, name: &str) -> Pushed {
    open(name, &Logins::none()).await.push(image, reference(name).tag()).await.unwrap()
}

fn reference(name: &str) -> Reference {
    name.parse().unwrap()
}

#[tokio::test]
async fn skopeo_reads_what_we_push_and_nothing_is_pushed_twice() {
    let server = Server::start();
    let name = server.name("team/app:1");
    let image = ImageBuilder::new(std::env::current_exe().unwrap()).build().await.unwrap();
    let first = push(&image, &name).await;
    // Of layer and configuration HEAD, POST and PUT, of the manifest HEAD and PUT.
    assert_eq!((first.requests, first.uploads, first.writes), (8, 2, 5), "{first:?}");
    let second = push(&image, &name).await;
    assert_eq!((second.requests, second.uploads, second.writes, second.bytes), (1, 0, 0, 0), "{second:?}");
    let other = push(&image, &server.name("team/app:2")).await;
    assert_eq!((other.uploads, other.writes), (0, 1), "{other:?}");
    assert_eq!(first.reference.to_string(), format!("{name}@sha256:{}", image.digest()));

    let inspected = skopeo::inspect(&format!("docker://{name}"));
    assert_eq!(inspected["Digest"], format!("sha256:{}", image.digest()));
    assert_eq!(inspected["Os"], "linux");
    assert_eq!(skopeo::copied(&format!("docker://{name}")).1, image.digest());

    let repository = open(&name, &Logins::none()).await;
    let mut tags = repository.tags().await.unwrap();
    tags.sort();
    assert_eq!(tags, ["1", "2"]);
    assert_eq!(repository.digest("2").await.unwrap(), Some(image.digest()));
    assert!(repository.delete(image.digest()).await.unwrap());
    assert!(!repository.delete(image.digest()).await.unwrap());
    assert_eq!(repository.digest("1").await.unwrap(), None);
    assert!(open(&server.name("none"), &Logins::none()).await.tags().await.unwrap().is_empty());
    println!("{} bytes: {} requests at first, {} then", image.size(), first.requests, second.requests);
}

#[tokio::test]
async fn skopeo_reads_the_files_that_we_write() {
    let image = Program::compile("x").image().await;
    let folder = tempfile::tempdir().unwrap();
    let (layout, archive) = (folder.path().join("layout"), folder.path().join("image.tar"));
    image.write(&Output::Folder(layout.clone()), "r.test/app:1").await.unwrap();
    image.write(&Output::Archive(archive.clone()), "r.test/app:1").await.unwrap();
    for from in
        [format!("oci:{}:r.test/app:1", layout.display()), format!("oci-archive:{}", archive.display())]
    {
        assert_eq!(skopeo::copied(&from).1, image.digest(), "{from}");
    }
    // What Docker's own format says is the same image, under another manifest.
    let (docker, _) = skopeo::copied(&format!("docker-archive:{}", archive.display()));
    assert!(Unpacked::of_layout(docker.path()).run().starts_with("42"));
}

#[tokio::test]
async fn a_pushed_image_runs_with_nothing_of_this_machine() {
    let server = Server::start();
    let name = server.name("app:1");
    push(&Program::compile("hello").image().await, &name).await;
    let (layout, _) = skopeo::copied(&format!("docker://{name}"));
    let unpacked = Unpacked::of_layout(layout.path());
    assert_eq!(unpacked.run(), "42 hello\n");
    assert!(unpacked.paths.contains("/app/lib/libone.so"), "{:?}", unpacked.paths);
    assert!(unpacked.read("/etc/passwd").starts_with(b"root:"));

    // The test itself, as a program of Rust.
    let own = ImageBuilder::new(std::env::current_exe().unwrap()).arg("--list").build().await.unwrap();
    push(&own, &server.name("own:1")).await;
    let (layout, _) = skopeo::copied(&format!("docker://{}", server.name("own:1")));
    assert!(Unpacked::of_layout(layout.path()).run().contains("a_pushed_image_runs"));
}

#[tokio::test]
async fn a_program_is_laid_on_a_base_image() {
    let (server, other) = (Server::start(), Server::start());
    let (base, name) = (server.name("base:1"), server.name("app:1"));
    let program = Program::compile("below");
    push(&program.image().await, &base).await;
    let repository = open(&base, &Logins::none()).await;
    let read = repository.base(&reference(&base), Machine::here()).await.unwrap();
    // It is compiled for the same paths, so that it finds the libraries of the base.
    let above = ImageBuilder::new(program.path()).program_path("/app/bin/above").env("A", "b");
    let image = above.base(read).build().await.unwrap();

    let pushed = push(&image, &name).await;
    assert_eq!(pushed.uploads, 2, "the base's layer is taken over within the registry: {pushed:?}");
    let elsewhere = push(&image, &other.name("app:1")).await;
    assert_eq!(elsewhere.uploads, 3, "the base's layer is copied: {elsewhere:?}");
    assert_eq!(push(&image, &other.name("app:1")).await.requests, 1);
    for name in [name, other.name("app:1")] {
        let (layout, digest) = skopeo::copied(&format!("docker://{name}"));
        assert_eq!(digest, image.digest());
        let unpacked = Unpacked::of_layout(layout.path());
        assert_eq!(unpacked.config["config"]["Entrypoint"][0], "/app/bin/above");
        assert_eq!(unpacked.config["rootfs"]["diff_ids"].as_array().unwrap().len(), 2);
        assert_eq!(unpacked.run(), "42 below\n");
    }
    // The same through an index of several architectures.
    server.put_index("base", "many", &push(&program.image().await, &base).await.digest.to_string()).await;
    let read = repository.base(&reference(&server.name("base:many")), Machine::here()).await.unwrap();
    let above = ImageBuilder::new(program.path()).program_path("/app/bin/above").env("A", "b");
    assert_eq!(above.base(read).build().await.unwrap().digest(), image.digest());

    let error = repository.base(&reference(&server.name("base:none")), Machine::here()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let foreign = match Machine::here() {
        Machine::X86_64 => Machine::Arm64,
        Machine::Arm64 => Machine::X86_64,
    };
    let error = repository.base(&reference(&base), foreign).await.unwrap_err().to_string();
    assert!(error.contains(&format!("has no image for {foreign}")), "{error}");
}

#[tokio::test]
async fn a_login_is_needed_and_a_wrong_one_is_named_without_its_secret() {
    let server = Server::start_with_login();
    let name = server.name("team/app:1");
    let image = Program::compile("x").image().await;
    let registry = reference(&name).registry().to_owned();
    let push = async |logins: Logins| open(&name, &logins).await.push(&image, Some("1")).await;

    let error = push(Logins::none()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().contains(&format!("there is no login for `{registry}`")), "{error}");

    let wrong = Logins::none().with(&registry, Login::password("ann", "hunter2"));
    let error = push(wrong.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("it refuses the login of user `ann`"), "{error}");
    let repository = open(&name, &wrong).await;
    assert!(!format!("{error:?} {wrong:?} {repository:?}").contains("hunter2"), "{error:?}");

    // `ann:correct horse`, as `docker login` writes it.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    let json = format!(r#"{{"auths": {{"{registry}": {{"auth": "YW5uOmNvcnJlY3QgaG9yc2U="}}}}}}"#);
    std::fs::write(&file, json).unwrap();
    let pushed = push(Logins::none().with_file(&file)).await.unwrap();
    assert_eq!((pushed.uploads, pushed.writes, pushed.requests), (2, 5, 9), "one more for the challenge");
    let again = push(Logins::none().with_file(&file)).await.unwrap();
    assert_eq!((again.uploads, again.writes, again.requests), (0, 0, 2), "{again:?}");
}
