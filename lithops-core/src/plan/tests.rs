//! The promises of the planner, one test for each.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::{
    board::LeaseConfig,
    compute::{Capabilities, Granularity, Price, Reports, Spot},
    plan::*,
};

fn faas(memory: u64) -> Capabilities {
    let mut capabilities = Capabilities::local(1);
    capabilities.granularity = Granularity::Faas;
    capabilities.feed = false;
    capabilities.reports = Reports::Buffered;
    capabilities.worker_memory = memory;
    capabilities.worker_cpus = memory as f64 / 1769.0;
    capabilities.default_worker_processes = 1;
    capabilities.default_max_workers = 1000;
    capabilities.max_workers = 100_000;
    capabilities.payload_limit = Some(6 << 20);
    capabilities.timeout_limit = Some(Duration::from_secs(900));
    capabilities.startup.cold = Duration::from_millis(250);
    capabilities.startup.warm = Duration::from_millis(10);
    let price = Price { request_usd: 2e-7, gb_second_usd: 1.666_67e-5, ..Price::default() };
    capabilities.price = Price { increment: Duration::from_millis(1), ..price };
    capabilities
}

fn containers(cpus: f64) -> Capabilities {
    let mut capabilities = faas(4096);
    capabilities.granularity = Granularity::Caas;
    capabilities.worker_cpus = cpus;
    capabilities.default_worker_processes = cpus as usize;
    capabilities.startup.cold = Duration::from_secs(3);
    capabilities
}

fn calls(seconds: f64) -> Workload {
    Workload::given(Durations::fixed(seconds).expect("a number"))
}

fn exactly(count: usize) -> Option<Count> {
    Some(Count::Exactly(count))
}

fn plan(calls: u64, worker_processes: usize, chunksize: Option<usize>) -> Plan {
    let capabilities = Capabilities::local(4);
    PlanRequest {
        worker_processes: exactly(worker_processes),
        chunksize: chunksize.map(Count::Exactly),
        ..PlanRequest::new(calls, &capabilities)
    }
    .plan()
    .expect("a plan")
}

#[test]
fn the_numbers_of_the_seed() {
    let seed = plan(200, 4, Some(8));
    assert_eq!((seed.workers(), seed.worker_processes(), seed.chunksize()), (25, 4, 8));
    assert_eq!(plan(200, 4, None).workers(), 50);
    assert_eq!(plan(100, 4, None).workers(), 25);
    assert_eq!(plan(100, 1, None).workers(), 100);
}

#[test]
fn the_default_is_one_on_a_function_and_the_cpus_elsewhere() {
    let default = |capabilities: &Capabilities| PlanRequest::new(100, capabilities).plan().expect("a plan");
    let function = default(&faas(1769));
    assert_eq!((function.worker_processes(), function.chunksize(), function.workers()), (1, 1, 100));
    let container = default(&containers(4.0));
    assert_eq!((container.worker_processes(), container.chunksize(), container.workers()), (4, 4, 25));
}

#[test]
fn zero_is_refused_and_the_message_says_what_to_write() {
    let capabilities = Capabilities::local(4);
    let request = PlanRequest { worker_processes: exactly(0), ..PlanRequest::new(1, &capabilities) };
    let error = request.plan().expect_err("refused").to_string();
    assert!(error.contains("`worker_processes` is 0") && error.contains("from 1 to"), "{error}");
    let request = PlanRequest { chunksize: exactly(0), ..PlanRequest::new(1, &capabilities) };
    assert!(request.plan().expect_err("refused").to_string().contains("`chunksize` is 0"));
    let request = PlanRequest { max_workers: Some(usize::MAX), ..PlanRequest::new(1, &capabilities) };
    assert!(request.plan().expect_err("refused").to_string().contains("`max_workers` is"));
}

#[test]
fn ten_million_calls_are_planned_in_no_time() {
    let (capabilities, workload) =
        (faas(1769), Workload::given("exponential:20ms".parse().expect("durations")));
    let request = PlanRequest {
        worker_processes: Some(Count::Auto),
        chunksize: Some(Count::Auto),
        workload: Some(&workload),
        ..PlanRequest::new(10_000_000, &capabilities)
    };
    // The shortest of several runs, because other processes of the machine disturb the time. Without
    // optimisation the limit is higher.
    let limit = if cfg!(debug_assertions) { Duration::from_millis(20) } else { Duration::from_millis(1) };
    let took = (0..50)
        .map(|_| {
            let begun = Instant::now();
            assert!(request.plan().expect("a plan").workers() > 0);
            begun.elapsed()
        })
        .min();
    assert!(took.is_some_and(|took| took < limit), "{took:?}");
}

#[test]
fn a_chunk_fits_into_the_time_and_the_bytes_that_the_platform_allows() {
    let (capabilities, workload) = (faas(1769), calls(10.0));
    let request = PlanRequest {
        chunksize: Some(Count::Auto),
        workload: Some(&workload),
        objective: Objective::Cost,
        max_workers: Some(10),
        ..PlanRequest::new(100_000, &capabilities)
    };
    let by_time = request.plan().expect("a plan");
    assert!(by_time.chunksize() <= 72, "{by_time}");
    assert_eq!(by_time.warnings(), [], "what auto chooses needs no advice");
    let short = calls(0.001);
    let by_bytes = PlanRequest { workload: Some(&short), payload: Some(1 << 20), ..request };
    assert!(by_bytes.plan().expect("a plan").chunksize() <= 6);
}

/// Containers that pull.
fn fleet() -> Capabilities {
    let mut capabilities = containers(1.0);
    (capabilities.pull, capabilities.payload_limit) = (Some(LeaseConfig::default()), None);
    (capabilities.timeout_limit, capabilities.default_max_workers) = (None, 100);
    capabilities.price = Price { vcpu_second_usd: 1e-5, ..Price::default() };
    capabilities
}

#[test]
fn the_lives_of_a_fleets_workers_are_billed_and_its_chunks_cost_requests_to_the_storage() {
    let (plain, workload) = (fleet(), calls(1.0));
    let cost = |capabilities: &Capabilities| {
        let chunksize = exactly(10);
        let request =
            PlanRequest { chunksize, workload: Some(&workload), ..PlanRequest::new(1000, capabilities) };
        let plan = request.plan().expect("a plan");
        let prediction = *plan.prediction().expect("it is predicted");
        let life = prediction.makespan.as_secs_f64() + 1.0;
        // What is shown of a worker's hour while it runs is what its bill counts.
        assert!((plan.worker_hour_usd() - plan.bill(3600.0).1).abs() < 1e-9, "{plan}");
        assert!((prediction.billed.as_secs_f64() - 100.0 * life).abs() < 1e-3, "{prediction:?}");
        (prediction.usd, life)
    };
    let (usd, life) = cost(&plain);
    assert!(life > 3.0 + 10.0 + 1.0, "start, chunk and the look that sees the end: {life}");
    assert!((usd - 100.0 * life * 1e-5).abs() < 1e-9, "{usd}");
    let with = |change: fn(&mut Capabilities)| {
        let mut changed = plain.clone();
        change(&mut changed);
        cost(&changed)
    };
    let (chunks, _) = with(|changed| changed.price.chunk_usd = 1e-4);
    assert!((chunks - usd - 100.0 * 1e-4).abs() < 1e-9, "{chunks}");
    let (addresses, _) = with(|changed| changed.price.address_hour_usd = 0.005);
    assert!((addresses - usd - 100.0 * life * 0.005 / 3600.0).abs() < 1e-9, "{addresses}");
    let (spot, _) = with(|changed| changed.spot = Some(Spot { discount: 0.6, interrupted_per_hour: 0.0 }));
    assert!((spot - usd * 0.4).abs() < 1e-9, "{spot}");
    // Taken away every ten minutes, each loses half of a chunk and a start: a hundredth of its time and more.
    let (_, longer) = with(|changed| changed.spot = Some(Spot { discount: 0.6, interrupted_per_hour: 6.0 }));
    let lost = (life - 3.0 - 1.0) * 6.0 / 3600.0 * (10.0 / 2.0 + 3.0);
    assert!((longer - life - lost).abs() < 0.01, "{longer} and {lost}");
}

#[test]
fn auto_makes_larger_chunks_where_each_costs_requests_or_the_storage_takes_no_more() {
    // One call in ten is long: with small chunks no worker has several of them in a row at the end.
    let durations = Durations::weighted([(0.01, 0.9), (0.5, 0.1)]).expect("durations");
    let workload = Workload::given(durations);
    let chosen = |capabilities: &Capabilities, objective, max_workers| {
        let (chunksize, workload) = (Some(Count::Auto), Some(&workload));
        let max_workers = Some(max_workers);
        let request = PlanRequest {
            chunksize,
            workload,
            objective,
            max_workers,
            ..PlanRequest::new(1_000_000, capabilities)
        };
        request.plan().expect("a plan")
    };
    let (free, mut dear) = (fleet(), fleet());
    dear.price.chunk_usd = 1e-3;
    let (small, large) = (chosen(&free, Objective::Balanced, 100), chosen(&dear, Objective::Balanced, 100));
    assert!(large.chunksize() > small.chunksize(), "{small} and {large}");
    let most = chosen(&free, Objective::Time, 5000);
    assert_eq!(most.warnings(), [], "what auto chooses needs no advice: {most}");
}

#[test]
fn chunks_that_are_too_short_for_the_storage_are_told() {
    let (capabilities, workload) = (fleet(), calls(0.1));
    let warned = |max_workers, chunksize| {
        let request = PlanRequest {
            chunksize: exactly(chunksize),
            workload: Some(&workload),
            max_workers: Some(max_workers),
            ..PlanRequest::new(1_000_000, &capabilities)
        };
        let plan = request.plan().expect("a plan");
        plan.warnings().iter().map(ToString::to_string).find(|warning| warning.contains("below one prefix"))
    };
    // 10,000 workers: two writes each in 2 * 10,000 / 3,000 s.
    let warning = warned(10_000, 10).expect("it is told");
    assert!(warning.contains("10000 workers") && warning.contains("6.67 s at least"), "{warning}");
    let better: usize = warning
        .rsplit("chunksize to ")
        .next()
        .and_then(|rest| rest.split(' ').next()?.parse().ok())
        .expect("a number");
    assert!((60..=70).contains(&better), "{warning}");
    assert_eq!((warned(10_000, better), warned(1000, 10)), (None, None));
}

#[test]
fn the_objective_decides() {
    let (capabilities, workload) = (faas(1769), calls(0.1));
    let chosen = |objective| {
        let request = PlanRequest {
            worker_processes: Some(Count::Auto),
            chunksize: Some(Count::Auto),
            workload: Some(&workload),
            objective,
            ..PlanRequest::new(1000, &capabilities)
        };
        let plan = request.plan().expect("a plan");
        (plan.makespan().expect("predicted"), plan.cost().usd.expect("priced"), plan.workers())
    };
    let (time, cost, balanced) =
        (chosen(Objective::Time), chosen(Objective::Cost), chosen(Objective::Balanced));
    assert!(
        time.0 <= balanced.0 && balanced.0 <= cost.0 && time.0 < cost.0,
        "{time:?} {balanced:?} {cost:?}"
    );
    assert!(
        time.1 >= balanced.1 && balanced.1 >= cost.1 * 0.98 && time.1 > cost.1,
        "{time:?} {balanced:?} {cost:?}"
    );
    assert!(time.2 > cost.2);
}

/// Each sub-worker is a process: a time that is hardly shorter is not worth more of them.
#[test]
fn of_equally_good_granularities_the_one_with_the_fewest_sub_workers_is_chosen() {
    let capabilities = Capabilities::local(2);
    for (durations, share) in
        [("20ms", 0.01), ("exponential:20ms", 0.01), ("bimodal:2ms,200ms,0.1", 0.02), ("1ms", 1.0)]
    {
        for objective in [Objective::Time, Objective::Cost, Objective::Balanced] {
            let workload = Workload::given(durations.parse().expect("durations"));
            let workload = workload.with_cpu_share(share).expect("a share");
            let request = PlanRequest {
                worker_processes: Some(Count::Auto),
                chunksize: Some(Count::Auto),
                workload: Some(&workload),
                objective,
                ..PlanRequest::new(500, &capabilities)
            };
            let plan = request.plan().expect("a plan");
            let alternatives = plan.alternatives();
            let least = alternatives.iter().map(|one| one.prediction.makespan).min().expect("some");
            let equal = alternatives.iter().filter(|one| one.prediction.makespan <= least.mul_f64(1.019));
            let fewest = equal.map(|one| one.worker_processes).min();
            assert!(
                fewest.is_some_and(|fewest| plan.worker_processes() <= fewest),
                "{durations} {objective}: {plan}, {fewest:?} do"
            );
        }
    }
}

#[test]
fn calls_that_wait_get_more_sub_workers_than_cpus_and_calls_that_compute_do_not() {
    let capabilities = Capabilities::local(4);
    let processes = |share: f64| {
        let workload = calls(0.02).with_cpu_share(share).expect("a share");
        PlanRequest {
            worker_processes: Some(Count::Auto),
            workload: Some(&workload),
            ..PlanRequest::new(2000, &capabilities)
        }
        .plan()
        .expect("a plan")
        .worker_processes()
    };
    assert_eq!(processes(1.0), 4);
    assert!(processes(0.01) >= 32, "{}", processes(0.01));
    assert!((5..=16).contains(&processes(0.5)), "{}", processes(0.5));
}

#[test]
fn the_price_of_a_plan_is_what_the_platform_would_bill() {
    // 100 calls of 1 s on 1769 MB, one worker each: 100 requests, 100 x (1 s + overhead and starting).
    let (mut capabilities, workload) = (faas(1769), calls(1.0));
    capabilities.call_overhead = Duration::ZERO;
    capabilities.startup.sub_worker = Duration::ZERO;
    let request = PlanRequest { workload: Some(&workload), ..PlanRequest::new(100, &capabilities) };
    let usd = request.plan().expect("a plan").cost().usd.expect("priced");
    let expected = 100.0 * (2e-7 + 1769.0 / 1024.0 * 1.666_67e-5);
    assert!((usd - expected).abs() < expected * 1e-6, "{usd} {expected}");
    let unknown = PlanRequest { workload: None, ..request }.plan().expect("a plan").cost();
    assert_eq!((unknown.usd, unknown.to_string().as_str()), (None, "cost unknown"));
}

#[test]
fn every_warning_is_given_where_it_is_due() {
    let advice = |request: PlanRequest<'_>| {
        request
            .plan()
            .expect("a plan")
            .warnings()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let (function, large, container) = (faas(1769), faas(10240), containers(4.0));
    let (second, hour, moment) = (calls(1.0), calls(3600.0), calls(0.001));
    let over = PlanRequest {
        chunksize: exactly(1000),
        workload: Some(&second),
        ..PlanRequest::new(100_000, &function)
    };
    for (wanted, request) in [
        ("set chunksize to 718 or less", over),
        (
            "a single call is too long",
            PlanRequest { workload: Some(&hour), ..PlanRequest::new(10, &function) },
        ),
        (
            "set chunksize to 6 to avoid it",
            PlanRequest { chunksize: exactly(8), payload: Some(1 << 20), ..PlanRequest::new(80, &function) },
        ),
        (
            "every call goes through the storage",
            PlanRequest { payload: Some(7 << 20), ..PlanRequest::new(80, &function) },
        ),
        (
            "gives all 100 calls to one worker",
            PlanRequest { chunksize: exactly(100), ..PlanRequest::new(100, &function) },
        ),
        ("the others are paid for and idle", PlanRequest::new(10, &large)),
        (
            "16 sub-workers share 4 vCPUs",
            PlanRequest { worker_processes: exactly(16), ..PlanRequest::new(100, &container) },
        ),
        (
            "set worker_processes to 4 unless",
            PlanRequest { worker_processes: exactly(16), ..PlanRequest::new(100, &container) },
        ),
        (
            "chunksize 2 is below worker_processes 4: 2 sub-workers",
            PlanRequest { chunksize: exactly(2), ..PlanRequest::new(100, &container) },
        ),
        (
            "chunksize 5 is no multiple of worker_processes 4: in the last round of each worker 3",
            PlanRequest { chunksize: exactly(5), ..PlanRequest::new(100, &container) },
        ),
        (
            "the last of 3 waves has 1 of 10 workers: set chunksize to 5",
            PlanRequest { chunksize: exactly(4), max_workers: Some(10), ..PlanRequest::new(84, &function) },
        ),
        ("to start and", PlanRequest { workload: Some(&moment), ..PlanRequest::new(1000, &function) }),
    ] {
        let said = advice(request);
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    assert_eq!(advice(PlanRequest::new(100, &container)), "");
    assert_eq!(advice(PlanRequest::new(100, &function)), "");
}

#[test]
fn what_is_explained_is_what_is_planned() {
    let (capabilities, workload) = (containers(4.0), calls(0.5));
    let request = PlanRequest { workload: Some(&workload), ..PlanRequest::new(1000, &capabilities) };
    let plan = request.plan().expect("a plan");
    let said = plan.explain().join("\n");
    for wanted in [
        "worker_processes 4: the 4 vCPUs of a container",
        "chunksize 4: worker_processes",
        "workers 250: 1000 calls in chunks of 4 are 250 hand-overs, all at once",
        "time ",
        "cost $",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    let alternatives = plan.alternatives();
    assert_eq!(alternatives.iter().filter(|one| one.is_plan).count(), 1);
    assert!(alternatives.windows(2).all(|two| two[0].prediction.makespan <= two[1].prediction.makespan));
    for objective in [Objective::Time, Objective::Cost, Objective::Balanced] {
        let best = alternatives.iter().filter(|one| one.best_for.contains(&objective)).count();
        assert_eq!(best, 1, "{objective}");
    }
    let drawn = svg(&plan).expect("predicted");
    assert!(drawn.starts_with("<svg") && drawn.trim_end().ends_with("</svg>"));
    assert!(drawn.contains("the plan: worker_processes 4, chunksize 4"));
    let unknown = PlanRequest::new(10, &capabilities).plan().expect("a plan");
    assert!(unknown.alternatives().is_empty() && svg(&unknown).is_none());
}

/// The shortcuts of the model against the events of the simulation.
#[test]
fn the_model_predicts_what_the_simulation_plays() {
    let (mut wrong, mut all, mut worst) = (0, 0, 0.0f64);
    let mut said = String::new();
    for durations in
        ["20ms", "exponential:20ms", "uniform:10ms,30ms", "bimodal:2ms,200ms,0.1", "exponential:2s"]
    {
        for share in [1.0, 0.05] {
            for (capabilities, calls, processes, chunksize, max_workers) in [
                (Capabilities::local(2), 1000, 2, 2, 1),
                (Capabilities::local(2), 500, 16, 16, 1),
                (Capabilities::local(4), 1000, 4, 4, 2),
                (faas(1769), 300, 1, 1, 100),
                (faas(1769), 1000, 1, 10, 100),
                (faas(512), 1000, 1, 10, 30),
                (containers(4.0), 1000, 4, 16, 10),
                (containers(4.0), 200, 8, 8, 100),
                (containers(8.0), 5000, 8, 64, 20),
            ] {
                let workload = Workload::given(durations.parse().expect("durations"));
                let workload = workload.with_cpu_share(share).expect("a share");
                let request = PlanRequest {
                    worker_processes: exactly(processes),
                    chunksize: exactly(chunksize),
                    max_workers: Some(max_workers),
                    workload: Some(&workload),
                    ..PlanRequest::new(calls, &capabilities)
                };
                let plan = request.plan().expect("a plan");
                let played = simulate(&plan, &capabilities, &workload, 15, 7).expect("it is small");
                let predicted = plan.makespan().expect("predicted").as_secs_f64();
                let off = predicted / played.makespan().as_secs_f64() - 1.0;
                all += 1;
                worst = worst.max(off.abs());
                if off.abs() > 0.1 {
                    wrong += 1;
                    said += &format!("{durations} {share} {plan}: {off:+.3}\n");
                }
            }
        }
    }
    assert!(wrong * 20 <= all && worst < 0.17, "{wrong} of {all}, worst {worst:.3}\n{said}");
}

proptest! {
    #[test]
    fn every_call_is_in_exactly_one_chunk(calls in 0u64..5000, processes in 1usize..70, size in 1usize..300) {
        let plan = plan(calls, processes, Some(size));
        prop_assert_eq!(plan.chunks().sum::<u64>(), calls);
        prop_assert_eq!(plan.chunks().len() as u64, calls.div_ceil(size as u64));
        prop_assert_eq!(plan.chunks().len() as u64, plan.workers());
        prop_assert!(plan.chunks().all(|chunk| chunk >= 1 && chunk <= size as u64));
        let full = plan.chunks().filter(|chunk| *chunk == size as u64).count() as u64;
        prop_assert!(plan.workers() - full <= 1, "only the last chunk may be shorter");
    }

    #[test]
    fn whatever_is_asked_for_the_limits_hold_and_the_same_is_planned_again(
        calls in 0u64..20_000_000,
        memory in 128u64..10_240,
        max_workers in 1usize..2000,
        mean in 0.0001f64..5000.0,
        share in 0.0f64..1.0,
        objective in prop_oneof![Just(Objective::Time), Just(Objective::Cost), Just(Objective::Balanced)],
        payload in proptest::option::of(1u64..10_000_000),
        fixed in any::<bool>(),
    ) {
        let capabilities = faas(memory);
        let durations = if fixed { Durations::fixed(mean) } else { Durations::exponential(mean) };
        let workload = Workload::given(durations.expect("a mean")).with_cpu_share(share).expect("a share");
        let request = PlanRequest {
            worker_processes: Some(Count::Auto),
            chunksize: Some(Count::Auto),
            max_workers: Some(max_workers),
            workload: Some(&workload),
            payload,
            objective,
            ..PlanRequest::new(calls, &capabilities)
        };
        let plan = request.plan().expect("a plan");
        prop_assert_eq!(&plan, &request.plan().expect("a plan"));
        prop_assert_eq!(plan.workers(), calls.div_ceil(plan.chunksize() as u64));
        prop_assert!(plan.live_workers() <= max_workers as u64);
        prop_assert!(plan.worker_processes() >= 1 && plan.worker_processes() <= capabilities.max_worker_processes);
        prop_assert!(plan.chunksize() >= 1);
        if let Some(payload) = payload.filter(|payload| *payload <= 6 << 20) {
            let bytes = plan.chunksize().min(calls as usize) as u64 * payload;
            prop_assert!(bytes <= 6 << 20 || plan.chunksize() <= plan.worker_processes(), "{bytes}");
        }
        let prediction = plan.prediction().expect("predicted");
        prop_assert!(prediction.usd.is_finite() && prediction.usd >= 0.0);
        prop_assert!((0.0..=1.0).contains(&prediction.utilisation));
        prop_assert!(calls == 0 || prediction.makespan >= Duration::from_secs_f64(mean * 0.5));
    }
}
