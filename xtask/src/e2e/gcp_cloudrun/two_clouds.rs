//! One program on two clouds at once, each with its own storage: which two is a matter of configuration alone.

use std::path::Path;

use crate::e2e::{aws_lambda, peers::Server, program::Programs};

/// Maps on Lambda and reduces on Cloud Run; then the other way round, and on this machine.
pub(super) fn together(programs: &Programs, cloud_run: &Server, folder: &Path) -> Result<(), String> {
    let lambda = Server::ministack(folder, false)?;
    programs.write("lambda.yaml", aws_lambda::config(&lambda, "").as_bytes())?;
    programs.write("cloud_run.yaml", cloud_run.yaml.replace("MORE", "").as_bytes())?;
    programs.write("here.yaml", b"lithops: {backend: localhost, storage: localhost}\n")?;
    for (map, reduce, places) in [
        ("lambda", "cloud_run", "mapped on AWS Lambda, reduced on Cloud Run or Knative"),
        ("cloud_run", "lambda", "mapped on Cloud Run or Knative, reduced on AWS Lambda"),
        ("here", "here", "mapped on this machine, reduced on this machine"),
    ] {
        let files = [map, reduce].map(|name| format!("{name}.yaml"));
        let said = programs.example("two_clouds", &[&files[0], &files[1]])?;
        // 100 texts, of which each repeats the words once more than the one before.
        let words = "10100 be\n5050 not\n5050 or\n10100 to\n";
        said.ends_with(0)?.wants("the words of all texts", said.stdout == format!("{places}\n{words}"))?;
    }
    Ok(())
}
