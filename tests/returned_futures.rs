//! Functions that start jobs and return their handles.

use lithops::blocking;

lithops::test_worker!();

#[lithops::function]
fn square(x: u64) -> u64 {
    x * x
}

#[lithops::function]
fn squares_of(count: u64) -> Result<blocking::FuturesList<u64>, lithops::Error> {
    let fexec = blocking::FunctionExecutor::builder().build()?;
    let futures = fexec.map(square, 0..count).chunksize(2).durable().run()?;
    futures.wait().run()?;
    Ok(futures)
}

#[lithops::function]
fn square_later(x: u64) -> Result<blocking::ResponseFuture<u64>, lithops::Error> {
    blocking::FunctionExecutor::builder().build()?.call_async(square, x).durable().run()
}

#[lithops::function]
fn session_handle() -> Result<blocking::ResponseFuture<u64>, lithops::Error> {
    blocking::FunctionExecutor::builder().build()?.call_async(square, 3).run()
}

#[test]
fn the_handles_a_function_returns_can_be_used_by_its_caller() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = blocking::FunctionExecutor::builder()
        .set("storage_root", root.path().to_str().expect("UTF-8"))
        .worker_processes(2)
        .build()
        .expect("an executor");
    let lists = fexec.map(squares_of, [3u64, 5]).run().expect("a job").get_result().expect("handles");
    let values: Vec<Vec<u64>> = lists.iter().map(|list| list.get_result().expect("values")).collect();
    assert_eq!(values, [vec![0, 1, 4], vec![0, 1, 4, 9, 16]]);
    let one = fexec.call_async(square_later, 12).run().expect("a call").result().expect("a handle");
    assert_eq!(one.result().expect("a value"), 144);
    let error =
        fexec.call_async(session_handle, ()).run().expect("a call").result().expect_err("it cannot leave");
    assert!(error.to_string().contains(".durable()"), "{error}");
}
