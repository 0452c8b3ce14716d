//! Everything that reads bytes from outside, so that it can be given any: by `tests/scanners.rs` some thousands, by the
//! targets below `fuzz/` as many as one likes. None of them may panic, hang, or reserve more than it is given.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use lithops_core::{
    board,
    config::{Config, Environment, Sources},
    digest::Digest,
    fleet::JobManifest,
    id::{ActivationId, JobId},
    journal::{ChunkOutcomes, JobRecord, Journal, Owner, Segment},
    plugin::{Header, PREFIX},
    protocol::{
        Calls, Cancel, Frame, FrameKind, HEADER_LEN, Hello, JobSpec, Logs, PayloadsBuilder, Report,
        ReportBuilder, ReportHeader, Role, Run, Setup, SignKey, StoredCalls, StoredReport, Tag, read_frame,
    },
    storage::{MemoryStorage, StorageClient},
    tracker::Policy,
    value,
};
use serde::{Deserialize, Serialize};

/// Something that reads bytes from outside.
#[derive(Debug, Clone, Copy)]
pub struct Scanner {
    /// Its name.
    pub name: &'static str,
    /// Reads any bytes.
    pub scan: fn(&[u8]),
    /// Bytes that it takes, to begin with.
    pub sample: fn() -> Vec<u8>,
}

/// All of them.
pub const SCANNERS: &[Scanner] = &[
    Scanner { name: "frames", scan: frames, sample: sample_frames },
    Scanner {
        name: "calls",
        scan: |bytes| drop(Calls::read(&Bytes::copy_from_slice(bytes))),
        sample: sample_calls,
    },
    Scanner { name: "report", scan: report, sample: sample_report },
    Scanner { name: "bundle", scan: bundle, sample: sample_bundle },
    Scanner { name: "record", scan: record, sample: sample_record },
    Scanner { name: "post", scan: |bytes| drop(JobManifest::decode(bytes)), sample: sample_post },
    Scanner { name: "signed_post", scan: signed, sample: sample_post },
    Scanner {
        name: "commit",
        scan: |bytes| drop(board::CommittedChunk::decode(bytes, 0, 4)),
        sample: sample_commit,
    },
    Scanner { name: "config", scan: config, sample: sample_config },
    Scanner { name: "value", scan: value, sample: sample_value },
    Scanner { name: "plugin_header", scan: header, sample: sample_header },
];

/// What a peer sends, frame by frame, as worker, sub-worker and client read it.
fn frames(mut bytes: &[u8]) {
    while let Ok(Some(frame)) = read_frame(&mut bytes) {
        match frame.kind {
            FrameKind::Hello => drop(Hello::read(&frame)),
            FrameKind::Setup => drop(frame.decode::<Setup>()),
            FrameKind::Job => drop(frame.decode::<JobSpec>()),
            FrameKind::Calls => drop(Calls::read(&frame.body)),
            FrameKind::Report => drop(Report::read(&frame.body)),
            FrameKind::Logs => drop(frame.decode::<Logs>()),
            FrameKind::Cancel => drop(frame.decode::<Cancel>()),
            FrameKind::StoredCalls => drop(StoredCalls::read(&frame)),
            FrameKind::StoredReport => drop(StoredReport::read(&frame)),
            _ => {}
        }
    }
}

fn report(bytes: &[u8]) {
    if let Ok(report) = Report::read(&Bytes::copy_from_slice(bytes)) {
        for index in 0..report.len() {
            let _ = (report.tag(index), report.value(index).len(), report.stats(index));
        }
    }
}

fn bundle(bytes: &[u8]) {
    if let Ok(bundle) = ChunkOutcomes::decode(&Bytes::copy_from_slice(bytes), 0, 4) {
        assert_eq!(bundle.reports.iter().map(Report::len).sum::<usize>(), 4, "one outcome for each call");
    }
}

/// A value of a type that has most of the forms, and one of any form. What is read is written as it was meant: it is
/// read again, and is the same.
fn value(bytes: &[u8]) {
    /// Most of serde's forms.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Forms {
        number: i128,
        point: f32,
        maybe: Option<Option<char>>,
        data: lithops_core::bytes::Bytes,
        map: BTreeMap<u16, Kind>,
        #[serde(flatten)]
        rest: Kind,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Kind {
        Nothing,
        Address { of: std::net::IpAddr, list: Vec<Option<()>> },
    }
    let again = |value: &serde_json::Value| {
        let encoded = value::encode(value).expect("it was read");
        assert_eq!(value::decode::<serde_json::Value>(&encoded).ok().as_ref(), Some(value));
    };
    drop(value::decode::<serde_json::Value>(bytes).map(|value| again(&value)));
    drop(value::decode::<(String, Vec<(u8, bool)>)>(bytes));
    if let Ok(forms) = value::decode::<Forms>(bytes) {
        let again = value::decode::<Forms>(&value::encode(&forms).expect("it was read"));
        assert!(forms.point.is_nan() || again.is_ok_and(|again| again == forms));
    }
}

fn record(bytes: &[u8]) {
    if let Ok(record) = JobRecord::decode(bytes, &journal()) {
        let last = record.chunks().saturating_sub(1);
        assert!(record.calls_of(last).1 <= record.calls);
    }
}

/// The bytes were not signed with this key, so none may be accepted.
fn signed(bytes: &[u8]) {
    if let Ok(key) = SignKey::generate() {
        assert!(key.verify_key().open("lithops.fleets/x/jobs/y", &bytes.to_vec().into()).is_err());
    }
}

fn config(bytes: &[u8]) {
    let yaml = String::from_utf8_lossy(bytes).into_owned();
    let config = Config::load(&Sources { file: None, yaml: Some(yaml) }, &Environment::new("/"));
    if let Ok(config) = config {
        let section = config.section("lithops");
        let _ = (
            section.count_or_auto("chunksize"),
            section.duration("execution_timeout"),
            section.paths("plugins"),
        );
        let _ = config.entries().count();
    }
}

fn header(bytes: &[u8]) {
    let mut prefix = [0; PREFIX];
    let len = bytes.len().min(PREFIX);
    prefix[..len].copy_from_slice(&bytes[..len]);
    let _ = Header::inspect(&prefix, "fuzzed");
}

fn run() -> Run {
    let (job, activation) = (JobId::from_bytes([7; 16]), ActivationId(3));
    Run { job, activation, offset: 0, chunksize: 4, attempt: 1, first: 0, count: 4 }
}

fn spec() -> JobSpec {
    JobSpec {
        job: JobId::from_bytes([7; 16]),
        function: "f@a.rs:1:1".into(),
        worker_processes: 2,
        timeout: Some(Duration::from_secs(1)),
        at_most_once: false,
        env: vec![("A".into(), "b".into())],
        shared: vec![b"shared".to_vec().into()],
        stored_shared: Vec::new(),
        inline_limit: Some(100),
        storage: None,
        log_limit: 1000,
        live_logs: false,
        durable: None,
        depth: 0,
        parent: None,
    }
}

fn calls() -> Calls {
    let mut arguments = PayloadsBuilder::default();
    for argument in ["", "a", "bc", "def"] {
        arguments.data().extend_from_slice(argument.as_bytes());
        arguments.end_value();
    }
    Calls { run: run(), batch: 1, queued_at: 5, arguments: arguments.finish() }
}

fn sample_frames() -> Vec<u8> {
    let mut out = Vec::new();
    // All of these can be written.
    let _ = Hello::of(Role::Worker).write(&mut out);
    let _ = Frame::write(FrameKind::Job, &spec(), &mut out);
    calls().write(&mut out);
    let job = run().job;
    let _ = Frame::write(FrameKind::Cancel, &Cancel { job, calls: vec![(0, 3)] }, &mut out);
    out.extend_from_slice(&report_frame());
    out
}

fn sample_calls() -> Vec<u8> {
    let mut out = Vec::new();
    calls().write(&mut out);
    out.split_off(HEADER_LEN)
}

fn report_frame() -> Vec<u8> {
    let mut builder = ReportBuilder::default();
    for tag in [Tag::Ok, Tag::Failed, Tag::Unstarted, Tag::Lost] {
        builder.value().extend_from_slice(b"value");
        builder.end_call(tag, 10, 20);
    }
    let header = ReportHeader {
        run: run(),
        batch: 1,
        batch_done: true,
        stored: false,
        pid: 9,
        queued_at: 5,
        cpu: Duration::from_micros(3),
        peak_memory: 1 << 20,
        delay: Duration::ZERO,
    };
    let mut out = Vec::new();
    builder.drain_into(&header, &mut out);
    out
}

fn sample_report() -> Vec<u8> {
    report_frame().split_off(HEADER_LEN)
}

fn sample_bundle() -> Vec<u8> {
    let report = Report::read(&sample_report().into());
    let reports = report.into_iter().collect();
    ChunkOutcomes { logs: Vec::new(), reports }.encode().unwrap_or_default()
}

fn policy() -> Policy {
    Policy::default()
}

/// That of the job that the samples are of.
fn journal() -> Journal {
    let storage = StorageClient::new(Arc::new(MemoryStorage::default()), "bucket");
    Journal::new(&storage, run().job)
}

fn sample_record() -> Vec<u8> {
    let record = JobRecord {
        form: JobRecord::FORM,
        job: run().job,
        function: "f@a.rs:1:1".into(),
        function_name: "f".into(),
        calls: 10,
        chunksize: 4,
        worker_processes: 2,
        segments: vec![Segment { calls: 10, len: 48, digest: Digest::of(b"inputs") }],
        shared: Vec::new(),
        policy: policy(),
        timeout: None,
        env: vec!["A".into()],
        backend: "localhost".into(),
        owner: Owner::this_process(),
        memory: Some(1024),
        created: 1,
    };
    record.encode(&journal()).unwrap_or_default()
}

fn sample_value() -> Vec<u8> {
    let forms = serde_json::json!({
        "number": -5, "point": 1.5, "maybe": "c", "data": [1, 2], "map": {}, "kind": "Address", "of": "10.0.0.1",
        "list": [null, null],
    });
    value::encode(&forms).expect("a value of JSON")
}

fn sample_post() -> Vec<u8> {
    JobManifest::new(spec(), (10, 4), Vec::new(), policy(), board::LeaseConfig::default(), (false, None))
        .encode()
        .unwrap_or_default()
}

fn sample_commit() -> Vec<u8> {
    let parts = vec![board::OutcomeRange { first: 0, end: 4, content: board::Content::Lost { epoch: 1 } }];
    board::CommittedChunk { author: "w".into(), epoch: 1, parts }.encode().to_vec()
}

fn sample_config() -> Vec<u8> {
    b"lithops:\n  backend: localhost\n  chunksize: AUTO\n  execution_timeout: 30s\nlocalhost: {max_workers: 2}\n".to_vec()
}

fn sample_header() -> Vec<u8> {
    b"LITHOPSP\0\0\x01\0\x78\0\0\0".to_vec()
}

/// Gives bytes to the scanner of a name.
///
/// # Panics
/// When there is none, or it does what it must not.
pub fn scan(name: &str, bytes: &[u8]) {
    let scanner = SCANNERS.iter().find(|scanner| scanner.name == name);
    (scanner.expect("a scanner of that name").scan)(bytes);
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use super::*;

    #[test]
    fn samples_are_taken_and_every_scanner_has_its_target() {
        assert!(Calls::read(&sample_calls().into()).is_ok() && Report::read(&sample_report().into()).is_ok());
        assert!(ChunkOutcomes::decode(&sample_bundle().into(), 0, 4).is_ok());
        assert!(
            JobRecord::decode(&sample_record(), &journal()).is_ok()
                && JobManifest::decode(&sample_post()).is_ok()
        );
        assert!(board::CommittedChunk::decode(&sample_commit(), 0, 4).is_ok());
        let targets = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/fuzz_targets");
        let names = fs::read_dir(targets).expect("targets").flatten();
        let names = names.filter_map(|file| Some(file.path().file_stem()?.to_str()?.to_owned()));
        let scanners = SCANNERS.iter().map(|scanner| scanner.name.to_owned());
        assert_eq!(names.collect::<BTreeSet<_>>(), scanners.collect::<BTreeSet<_>>());
    }
}
