"""The rows of the simulator's tables (record.py): the cluster, jobs, replicas, lines, caches, sums."""

from __future__ import annotations

from rooflab.simulator.serving.record import Int32

__all__ = ["Adapter", "Clock", "Ends", "Event", "Job", "Line", "Rep", "StepRow", "Sums", "Unit"]


class Clock:
    """The cluster: time, the router, the autoscaler."""

    now_s: float
    stop_s: float
    interval_s: float
    """width of the timeline's rows"""
    tick_s: float
    next_tick_s: float
    scale_load: float
    scale_min: int
    scale_max: int
    n_jobs: int
    n_queues: int
    n_clients: int
    ended: int
    stranded: int
    next_open: int
    next_shared: int
    next_event: int
    router: int
    turn: int
    turn_decode: int
    random: int
    balance_ratio: float
    balance_gap: int
    spill: int
    unit_tokens: int
    n_steps: int


class Job:
    """A request. `done` tokens have KV, `goal` must have before the next token, `made` are generated (as of joining the
    decode batch)."""

    arrival_s: float
    deadline_s: float
    think_s: float
    key: float
    """place in the line that it waits in; in the line of timers, the time"""
    first_scheduled_s: float
    first_token_s: float
    last_token_s: float
    stalled_since_s: float
    hidden_s: float
    """seconds of its transfer that could go while its prompt was computed"""
    input: int
    output: int
    predicted: int
    cached: int
    done: int
    goal: int
    made: int
    anchor: int
    finish_at: int
    private: int
    home_private: int
    shared: int
    chunk: int
    on_host: int
    client: Int32
    adapter: Int32
    priority: Int32
    session: Int32
    after: Int32
    successor: Int32
    sibling: Int32
    link: Int32
    """next in a line"""
    child: Int32
    """first child in a line's heap"""
    previous: Int32
    next: Int32
    """neighbours among those that run on a replica"""
    chunk_next: Int32
    """next of the prompts in a step, of those whose KV has come, of those taken out of a line"""
    heap_at: Int32
    state: Int32
    replica: Int32
    home: Int32
    epoch: Int32
    first_replica: Int32
    decode_replica: Int32
    preemptions: Int32
    requeues: Int32
    status: Int32
    swapped: Int32
    slot: Int32
    """place in the window of contiguous caches"""


class Rep:
    """An engine: its rules and limits, its batch, its blocks, the step (or run of k equal steps) that it is in."""

    # settings of a deployment, by their names there
    max_num_seqs: int
    max_num_batched_tokens: int
    max_model_len: int
    block_size: int
    chunked_prefill: int
    admit_every: int
    batch_wait_steps: int
    prefix_caching: int
    max_waiting: int
    # rules of its scheduler
    cost: int
    role: int
    mixed: int
    chunked: int
    reserve: int
    gated: int
    by_progress: int
    policy: int
    watermark: float
    retract: float
    reserve_ratio: float
    reserve_min: float
    reserve_decay: float
    reserve_now: float
    gain: float
    """tokens that a decoding sequence gains a step"""
    rotate_steps: int
    rotate_at: int
    rotations: int
    fruitless: int
    """rotations since the last token"""
    sticky: float
    look_at: int
    wait_until: int
    # its window of contiguous caches: the first slot, slots, holes among them, tokens of holes that are still computed
    buffers: int
    move_s_per_token: float
    first_slot: int
    window: int
    holes: int
    held_tokens: int
    moves_s: float
    """seconds of copies on the device before its next step"""
    # what it moves over its links
    overlap: float
    host_s_per_token: float
    ssd_s_per_token: float
    swap_s_per_token: float
    swap_tokens: int
    swap_used: int
    swap_async: int
    swap_reuse: int
    swap_in_free_s: float
    swap_out_free_s: float
    adapter_load_s: float
    max_adapters: int
    active_adapters: int
    link_free_s: float
    link_s_per_token: float
    link_latency_s: float
    link_layers: float
    extra_s: float
    """seconds of copies that the next step waits for"""
    # its devices
    idle_w: float
    slow: float
    power: float
    startup_s: float
    up_since_s: float
    state: int
    epoch: int
    """how often it has died"""
    # its blocks
    kv_blocks: int
    free_blocks: int
    capacity_tokens: int
    idle_units: int
    host_units: int
    host_used: int
    ssd_units: int
    ssd_used: int
    unit_blocks: int
    free_unit: int
    # who is there
    waiting: int
    waiting_since_s: float
    present: int
    load_tokens: int
    running: int
    head: int
    tail: int
    """those that run, in order of admission"""
    receiving: int
    ready_head: int
    partial: int
    """the prompt that the last step cut short"""
    longest: int
    held_back: int
    # the decode batch
    n_decode: int
    ticks: int
    tokens: int
    anchor_sum: int
    finish_sum: int
    output_sum: int
    newcomers: int
    newcomer_sum_s: float
    emitted_s: float
    # admission: what is left of the token budget, tokens promised to those admitted, what the cache has of the next
    budget: int
    promised: float
    hit_units: int
    hit_idle: int
    hit_below: int
    # the step
    phase: int
    k: int
    start_s: float
    decoding: int
    n_step: int
    context: float
    n_priced: int
    """sequences that the step computes, those that hold a place in a window after their end among them"""
    context_priced: float
    chunk_head: int
    chunk_tail: int
    n_chunks: int
    chunk_tokens: int
    area: int
    # its price
    step_s: float
    slope_s: float
    step_j: float
    slope_j: float
    room: float
    """context until the slopes change"""


class Line:
    """A waiting line: a list for whoever comes in order, a pairing heap for the rest; under "fair" one a client, with
    its service so far."""

    service: float
    n: int
    head: int
    tail: int
    root: int
    n_decode: int
    joined_sum: int


class Unit:
    """A cached prefix block (of prefix_block_tokens): who holds it and its place in its tier's least-recently-used
    list."""

    block: int
    refs: int
    older: int
    newer: int
    tier: int
    replica: int


class Ends:
    """Oldest and newest idle unit of a tier of a replica."""

    oldest: int
    newest: int


class Adapter:
    """Running jobs of an adapter on a replica, and when it was last used (−1: not loaded)."""

    running: int
    used_s: float


class Event:
    """Something that happens to the cluster at a set time."""

    time_s: float
    slow: float
    power: float
    kind: int
    replica: int


class Sums:
    """Sums over the run of a replica, as floats (whole numbers are exact to 2^53): columns of `Totals`."""

    steps: float
    busy_s: float
    up_s: float
    energy_j: float
    prefill_tokens: float
    decode_tokens: float
    cached_tokens: float
    looked_up_tokens: float
    host_tokens: float
    ssd_tokens: float
    preemptions: float
    swapped_tokens: float
    recomputed_tokens: float
    transferred_tokens: float
    moved_tokens: float
    evicted_blocks: float
    request_s: float
    waiting_s: float
    kv_block_s: float
    finished: float


class StepRow:
    """A row of the step log: columns of `Steps`."""

    start_s: float
    end_s: float
    replica: int
    steps: int
    n_decode: int
    context: int
    n_prefill: int
    prefill_tokens: int
    kv_blocks: int
    waiting: int
