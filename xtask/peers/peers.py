"""One measurement of one workload by another system, as a line of JSON: `peers.py SYSTEM WORKLOAD N`.

The workloads are those of `examples/bench/`; `docs/benchmarks.md` says what is timed.
"""

import json
import math
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time

CPUS = len(os.sched_getaffinity(0))
SIZE = 1 << 20


def noop(x):
    return x


def same(data):
    return data


def seed(argument):
    number, x = argument
    print(f"I'm activation number {number}")
    return x + 7


def computes(rounds):
    """Computes so many rounds, and says how many seconds that took."""
    begun = time.perf_counter()
    number = 1
    for _ in range(rounds):
        number = number * 1103515245 + 12345 & 0x7FFFFFFF
    return time.perf_counter() - begun


def rounds_of(seconds):
    probe = 200_000
    return max(1, int(probe * seconds / min(computes(probe) for _ in range(9))))


def dies_once(path):
    """Says when its second attempt starts; the first one says who it is, and waits for its end."""
    if os.path.exists(path):
        return time.time()
    with open(path + ".new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(path + ".new", path)
    time.sleep(3600)


# Each system: `map` gives all values in order, `call` makes one call and waits for it, `close` ends it. `workers` is
# how many processes it may use.


class Pool:
    def __init__(self, workers=CPUS):
        self.pool = multiprocessing.get_context("fork").Pool(workers)

    def map(self, function, inputs, chunksize=None):
        return self.pool.map(function, inputs, chunksize)

    def call(self, function, value):
        return self.pool.apply(function, (value,))

    def close(self):
        self.pool.terminate()


class ProcessPoolExecutor:
    def __init__(self, workers=CPUS):
        from concurrent.futures import ProcessPoolExecutor

        self.pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("fork"))

    def map(self, function, inputs, chunksize=1):
        return list(self.pool.map(function, inputs, chunksize=chunksize))

    def call(self, function, value):
        return self.pool.submit(function, value).result()

    def close(self):
        self.pool.shutdown()


class Joblib:
    def __init__(self, workers=CPUS):
        import joblib

        self.delayed, self.parallel = joblib.delayed, joblib.Parallel(n_jobs=workers)
        self.parallel.__enter__()

    def map(self, function, inputs, chunksize=None):
        return self.parallel(self.delayed(function)(value) for value in inputs)

    def call(self, function, value):
        return self.parallel([self.delayed(function)(value)])[0]

    def close(self):
        self.parallel.__exit__(None, None, None)


class Dask:
    def __init__(self, workers=CPUS):
        import logging

        from distributed import Client, LocalCluster

        logging.getLogger("distributed").setLevel(logging.ERROR)
        self.cluster = LocalCluster(
            n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        )
        self.client = Client(self.cluster)

    def map(self, function, inputs, chunksize=None):
        return self.client.gather(self.client.map(function, list(inputs), pure=False))

    def call(self, function, value):
        return self.client.submit(function, value, pure=False).result()

    def close(self):
        self.client.close()
        self.cluster.close()


class Ray:
    def __init__(self, workers=CPUS):
        import ray

        ray.init(
            num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level="ERROR",
            _node_ip_address="127.0.0.1",
        )
        self.ray, self.functions = ray, {}

    def remote(self, function):
        return self.functions.setdefault(function, self.ray.remote(function))

    def map(self, function, inputs, chunksize=None):
        function = self.remote(function)
        return self.ray.get([function.remote(value) for value in inputs])

    def call(self, function, value):
        return self.ray.get(self.remote(function).remote(value))

    def close(self):
        self.ray.shutdown()


class Lithops:
    version = 2

    def __init__(self, workers=CPUS):
        import lithops

        config = {
            "lithops": {"backend": "localhost", "storage": "localhost", "telemetry": False},
            "localhost": {"version": self.version, "worker_processes": workers},
        }
        self.lithops = lithops.FunctionExecutor(config=config, log_level=None)

    def map(self, function, inputs, chunksize=None):
        # A tuple would be taken for several arguments.
        inputs = [[value] if isinstance(value, tuple) else value for value in inputs]
        if function is seed:
            return self.lithops.get_result(
                self.lithops.map(seed_of_list, inputs, chunksize=chunksize), show_progressbar=False
            )
        futures = self.lithops.map(function, inputs, chunksize=chunksize)
        return self.lithops.get_result(futures, show_progressbar=False)

    def call(self, function, value):
        return self.lithops.get_result(self.lithops.call_async(function, value), show_progressbar=False)

    def close(self):
        self.lithops.clean()


def seed_of_list(argument):
    return seed(argument[0])


class LithopsV1(Lithops):
    version = 1


SYSTEMS = {
    "Pool": Pool, "ProcessPoolExecutor": ProcessPoolExecutor, "joblib": Joblib, "dask": Dask, "ray": Ray,
    "lithops": Lithops, "lithops v1": LithopsV1,
}


def warm(system):
    """Every worker has run the function."""
    system.map(noop, range(2 * CPUS))


def run_seed(make, count):
    system = make(4)
    values = system.map(seed, list(enumerate(range(count))), 8)
    print(values)
    system.close()
    return None


def run_start(make, count):
    begun = time.perf_counter()
    system = make()
    value = system.call(noop, 7)
    took = time.perf_counter() - begun
    assert value == 7
    system.close()
    return {"value": took * 1e3}


def run_noop(make, count):
    system = make()
    warm(system)
    begun = time.perf_counter()
    values = system.map(noop, range(count))
    took = time.perf_counter() - begun
    assert values == list(range(count))
    system.close()
    return {"value": count / took}


def run_memory(make, count):
    system = make()
    warm(system)
    before = status("VmRSS")
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    values = system.map(noop, range(count))
    peak = status("VmHWM")
    assert len(values) == count
    system.close()
    return {"value": (peak - before) * 1024 / 1e6}


def status(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name + ":"))


def run_latency(make, count):
    system = make()
    warm(system)
    micros = []
    for call in range(count + count // 10):
        begun = time.perf_counter()
        value = system.call(noop, call)
        micros.append((time.perf_counter() - begun) * 1e6)
        assert value == call
    micros = sorted(micros[-count:])
    system.close()
    return {"value": micros[len(micros) // 2], "p99": micros[len(micros) * 99 // 100]}


def run_bytes(make, count):
    system = make()
    warm(system)
    inputs = [bytes([call % 251]) * SIZE for call in range(count)]
    # Once untimed: memory that nobody has used lately may cost the machine more than all the rest.
    assert system.map(same, inputs) == inputs
    begun = time.perf_counter()
    values = system.map(same, inputs)
    took = time.perf_counter() - begun
    assert values == inputs
    system.close()
    return {"value": 2 * count * SIZE / (1 << 20) / took}


def bare(count, rounds):
    """The same calls in bare forked processes, one for each CPU."""
    begun = time.perf_counter()
    context = multiprocessing.get_context("fork")
    shares = [count // CPUS + (cpu < count % CPUS) for cpu in range(CPUS)]

    def share(calls):
        for _ in range(calls):
            computes(rounds)

    processes = [context.Process(target=share, args=(calls,)) for calls in shares]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return time.perf_counter() - begun


def run_cpu(make, count):
    rounds = rounds_of(0.05)
    before = bare(count, rounds)
    system = make()
    warm(system)
    begun = time.perf_counter()
    values = system.map(computes, [rounds] * count)
    took = time.perf_counter() - begun
    assert len(values) == count
    system.close()
    ideal = (before + bare(count, rounds)) / 2
    return {"value": ideal / took}


def run_skew(make, count):
    rounds = rounds_of(0.005)
    quantile = lambda call: ((call * 7919 % count) + 0.5) / count
    inputs = [int(-rounds * math.log(1 - quantile(call))) for call in range(count)]
    system = make()
    warm(system)
    begun = time.perf_counter()
    took = system.map(computes, inputs)
    wall = time.perf_counter() - begun
    system.close()
    free = [0.0] * CPUS
    for seconds in took:
        free[free.index(min(free))] += seconds
    return {"value": wall / max(free)}


def run_kill(make, count):
    """From the SIGKILL of the process of a call to the call running elsewhere."""
    import threading

    system = make()
    warm(system)
    path = os.path.join(tempfile.mkdtemp(), "started")
    killed = []

    def kill():
        while not os.path.exists(path):
            time.sleep(0.001)
        killed.append(time.time())
        os.kill(int(open(path).read()), signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()
    started = system.map(dies_once, [path])[0]
    return {"value": (started - killed[0]) * 1e3}


def main():
    system, workload, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    line = globals()["run_" + workload](SYSTEMS[system], count)
    if line is not None:
        print(json.dumps(line))


if __name__ == "__main__":
    main()
