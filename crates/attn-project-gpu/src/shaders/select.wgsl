// The least scores of each row so far, from those of one more chunk: one workgroup a row.
//
// Scores below the worst that is kept are collected behind the kept ones; when there is no room for 256 more, all are
// sorted and the best kept, which lowers the bar. After the first hundreds few scores pass. The order in which
// invocations add theirs is chance, but which pass and how many is not, and what is sorted comes out in one order only:
// by score, then by point.

@group(0) @binding(1) var<storage, read> scores: array<f32>;
// [row of the block][candidate], sorted.
@group(0) @binding(2) var<storage, read_write> best_scores: array<u32>;
@group(0) @binding(3) var<storage, read_write> best_points: array<u32>;

const LANES = 256u;
// At least 512 for what is kept, and room for those that come.
const ROOM = 1024u;
// A score that no point has, after all others.
const NONE = 0xffffffffu;

var<workgroup> found_scores: array<u32, ROOM>;
var<workgroup> found_points: array<u32, ROOM>;
var<workgroup> found: atomic<u32>;
var<workgroup> filled: u32;
var<workgroup> bar: u32;

// Integers that are ordered like the numbers.
fn ordered(score: f32) -> u32 {
    let bits = bitcast<u32>(score);
    return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

@compute @workgroup_size(256)
fn choose(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let own = search.first_row + group.x;
    let best = group.x * search.kept;
    for (var i = lane; i < search.kept; i += LANES) {
        found_scores[i] = select(best_scores[best + i], NONE, search.first_column == 0u);
        found_points[i] = select(best_points[best + i], NONE, search.first_column == 0u);
    }
    if (lane == 0u) {
        atomicStore(&found, search.kept);
    }
    raise(lane);

    for (var start = 0u; start < search.columns; start += LANES) {
        let limit = workgroupUniformLoad(&bar);
        let column = start + lane;
        let point = search.first_column + column;
        if (column < search.columns && point < search.points && point != own) {
            let score = ordered(scores[group.x * search.columns + column]);
            // An equal one comes later and has a higher number: it loses.
            if (score < limit) {
                let at = atomicAdd(&found, 1u);
                found_scores[at] = score;
                found_points[at] = point;
            }
        }
        workgroupBarrier();
        if (lane == 0u) {
            filled = atomicLoad(&found);
        }
        let count = workgroupUniformLoad(&filled);
        if (count > ROOM - LANES) {
            sort(lane, count);
            if (lane == 0u) {
                atomicStore(&found, search.kept);
            }
            raise(lane);
        }
    }

    workgroupBarrier();
    if (lane == 0u) {
        filled = atomicLoad(&found);
    }
    let count = workgroupUniformLoad(&filled);
    if (count > search.kept) {
        sort(lane, count);
    }
    for (var i = lane; i < search.kept; i += LANES) {
        best_scores[best + i] = found_scores[i];
        best_points[best + i] = found_points[i];
    }
}

// The worst of the kept is what others must beat.
fn raise(lane: u32) {
    workgroupBarrier();
    if (lane == 0u) {
        bar = found_scores[search.kept - 1u];
    }
    workgroupBarrier();
}

// Bitonic sort (Batcher 1968) of the first `count`.
fn sort(lane: u32, count: u32) {
    var room = 2u;
    while (room < count) {
        room *= 2u;
    }
    for (var i = count + lane; i < room; i += LANES) {
        found_scores[i] = NONE;
        found_points[i] = NONE;
    }
    for (var size = 2u; size <= room; size *= 2u) {
        for (var gap = size / 2u; gap > 0u; gap /= 2u) {
            workgroupBarrier();
            for (var pair = lane; pair < room / 2u; pair += LANES) {
                let a = 2u * pair - (pair & (gap - 1u));
                let b = a + gap;
                let sorted = (a & size) == 0u;
                let score_a = found_scores[a];
                let score_b = found_scores[b];
                let point_a = found_points[a];
                let point_b = found_points[b];
                let swapped = score_b < score_a || (score_b == score_a && point_b < point_a);
                if (swapped == sorted) {
                    found_scores[a] = score_b;
                    found_scores[b] = score_a;
                    found_points[a] = point_b;
                    found_points[b] = point_a;
                }
            }
        }
    }
    workgroupBarrier();
}
