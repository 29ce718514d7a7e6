// One iteration of t-SNE in four passes: repulsion between all pairs, attraction along the affinities, sums over all
// points, and the step. `Point` is defined in front of this file: vec2f in the plane, vec3f in space.
//
// Every sum is added in an order that depends on the number of points only, without floating-point atomics.

struct Params {
    points: u32,
    // Points in a slice of the others, a multiple of 256, and number of slices.
    slice: u32,
    slices: u32,
    // First group of 256 points that this dispatch pushes.
    first_group: u32,
    exaggeration: f32,
    momentum: f32,
    rate: f32,
}

// What a slice of the points does to one: sum of w^2 (y_i - y_j), and of w = 1 / (1 + |y_i - y_j|^2).
struct Push {
    force: Point,
    sum: f32,
}

struct Forces {
    pull: Point,
    sum: f32,
    push: Point,
}

struct Total {
    mean: Point,
    // Sum of w over all pairs.
    pairs: f32,
}

struct Motion {
    velocity: Point,
    gain: Point,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<Point>;
// Affinities by rows: row i has the entries from offsets[i] to offsets[i + 1].
@group(0) @binding(2) var<storage, read> offsets: array<u32>;
@group(0) @binding(3) var<storage, read> columns: array<u32>;
@group(0) @binding(4) var<storage, read> values: array<f32>;
// [slice][point]
@group(0) @binding(5) var<storage, read_write> pushes: array<Push>;
@group(0) @binding(6) var<storage, read_write> forces: array<Forces>;
@group(0) @binding(7) var<storage, read_write> total: Total;
@group(0) @binding(8) var<storage, read_write> motion: array<Motion>;

const LANES = 256u;
// Invocations that share the entries of one row.
const SEATS = 32u;
// So far away that it pushes nobody, but its square is still finite.
const FAR = 1e18;
// No point moves farther than this in one iteration.
const LONGEST_STEP = 5.0;

var<workgroup> others: array<Point, LANES>;

fn add_push(apart: Point, so_far: Push) -> Push {
    let w = 1.0 / (1.0 + dot(apart, apart));
    return Push(so_far.force + w * w * apart, so_far.sum + w);
}

// Each invocation has a point, each row of workgroups a slice of the others, which pass through workgroup memory.
@compute @workgroup_size(256)
fn repulsion(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let last = params.points - 1u;
    let i = (params.first_group + group.x) * LANES + lane;
    let own = y[min(i, last)];
    let first = group.y * params.slice;
    let end = min(first + params.slice, params.points);
    // The pair of a point with itself has w = 1 and is taken out again.
    var push = Push(Point(), select(0.0, -1.0, i >= first && i < end));
    for (var start = first; start < end; start += LANES) {
        workgroupBarrier();
        others[lane] = select(y[min(start + lane, last)], Point(FAR), start + lane >= end);
        workgroupBarrier();
        for (var t = 0u; t < LANES; t += 4u) {
            push = add_push(own - others[t], push);
            push = add_push(own - others[t + 1u], push);
            push = add_push(own - others[t + 2u], push);
            push = add_push(own - others[t + 3u], push);
        }
    }
    if (i <= last) {
        pushes[group.y * params.points + i] = push;
    }
}

var<workgroup> pull_sums: array<Point, LANES>;
var<workgroup> push_sums: array<Point, LANES>;
var<workgroup> pair_sums: array<f32, LANES>;

// Attraction of eight points by 32 invocations each, and the sum of their slices.
@compute @workgroup_size(256)
fn gather(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = group.x * (LANES / SEATS) + lane / SEATS;
    let seat = lane % SEATS;
    var pull = Point();
    var push = Point();
    var sum = 0.0;
    if (i < params.points) {
        let own = y[i];
        let end = offsets[i + 1u];
        for (var entry = offsets[i] + seat; entry < end; entry += SEATS) {
            let apart = own - y[columns[entry]];
            pull += values[entry] / (1.0 + dot(apart, apart)) * apart;
        }
        for (var slice = seat; slice < params.slices; slice += SEATS) {
            let part = pushes[slice * params.points + i];
            push += part.force;
            sum += part.sum;
        }
    }
    pull_sums[lane] = pull;
    push_sums[lane] = push;
    pair_sums[lane] = sum;
    for (var reach = SEATS / 2u; reach > 0u; reach /= 2u) {
        workgroupBarrier();
        if (seat < reach) {
            pull_sums[lane] += pull_sums[lane + reach];
            push_sums[lane] += push_sums[lane + reach];
            pair_sums[lane] += pair_sums[lane + reach];
        }
    }
    if (seat == 0u && i < params.points) {
        forces[i] = Forces(pull_sums[lane], pair_sums[lane], push_sums[lane]);
    }
}

// Mean of the points and sum over all pairs, by one workgroup.
@compute @workgroup_size(256)
fn sum_up(@builtin(local_invocation_index) lane: u32) {
    var mean = Point();
    var pairs = 0.0;
    for (var i = lane; i < params.points; i += LANES) {
        mean += y[i];
        pairs += forces[i].sum;
    }
    pull_sums[lane] = mean;
    pair_sums[lane] = pairs;
    for (var reach = LANES / 2u; reach > 0u; reach /= 2u) {
        workgroupBarrier();
        if (lane < reach) {
            pull_sums[lane] += pull_sums[lane + reach];
            pair_sums[lane] += pair_sums[lane + reach];
        }
    }
    if (lane == 0u) {
        total = Total(pull_sums[0] / f32(params.points), max(pair_sums[0], 1e-30));
    }
}

// A step by momentum and gradient; the gain of a coordinate grows while its direction holds (Jacobs 1988).
@compute @workgroup_size(256)
fn advance(@builtin(global_invocation_id) id: vec3u) {
    let i = id.x;
    if (i >= params.points) {
        return;
    }
    let force = forces[i];
    let gradient = params.exaggeration * force.pull - force.push / total.pairs;
    var now = motion[i];
    let turned = (gradient > Point()) == (now.velocity > Point());
    now.gain = select(now.gain + 0.2, max(now.gain * 0.8, Point(0.01)), turned);
    let velocity = params.momentum * now.velocity - params.rate * now.gain * gradient;
    now.velocity = clamp(velocity, Point(-LONGEST_STEP), Point(LONGEST_STEP));
    let speed = length(now.velocity);
    if (speed > LONGEST_STEP) {
        now.velocity *= LONGEST_STEP / speed;
    }
    motion[i] = now;
    y[i] += now.velocity - total.mean;
}
