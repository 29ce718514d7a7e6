// Scores of a block of rows with a chunk of columns: bias[j] - rows[i] . rows[j].
//
// A workgroup computes 64 x 64 scores, an invocation 4 x 4 of them in registers. Rows and columns come into workgroup
// memory 16 numbers deep at a time, so that each is read from memory once per tile. Rows are padded with zeros to a
// multiple of 64 in number and 16 in length: nothing here looks beyond an end.

@group(0) @binding(1) var<storage, read> rows: array<vec4f>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> scores: array<f32>;

// [4 vectors deep][64 rows]
var<workgroup> left: array<vec4f, 256>;
var<workgroup> right: array<vec4f, 256>;

// fma() as it is written, so that all processors add in the same order.
fn add_product(a: vec4f, b: vec4f, sum: f32) -> f32 {
    return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
}

fn add_products(a: vec4f, b0: vec4f, b1: vec4f, b2: vec4f, b3: vec4f, sums: vec4f) -> vec4f {
    return vec4f(
        add_product(a, b0, sums.x),
        add_product(a, b1, sums.y),
        add_product(a, b2, sums.z),
        add_product(a, b3, sums.w),
    );
}

@compute @workgroup_size(256)
fn products(@builtin(workgroup_id) tile: vec3u, @builtin(local_invocation_index) lane: u32) {
    // The invocation's rows are `down`, `down` + 16 ..., its columns `across`, `across` + 16 ...
    let down = lane / 16u;
    let across = lane % 16u;
    // What it brings in: one vector of one row, and of one column.
    let deep = lane % 4u;
    let slot = deep * 64u + lane / 4u;
    let first_row = tile.y * 64u;
    let first_column = tile.x * 64u;
    let row = (search.first_row + first_row + lane / 4u) * search.depth + deep;
    let column = (search.first_column + first_column + lane / 4u) * search.depth + deep;

    var sums0 = vec4f();
    var sums1 = vec4f();
    var sums2 = vec4f();
    var sums3 = vec4f();
    for (var start = 0u; start < search.depth; start += 4u) {
        workgroupBarrier();
        left[slot] = rows[row + start];
        right[slot] = rows[column + start];
        workgroupBarrier();
        for (var at = 0u; at < 256u; at += 64u) {
            let b0 = right[at + across];
            let b1 = right[at + across + 16u];
            let b2 = right[at + across + 32u];
            let b3 = right[at + across + 48u];
            sums0 = add_products(left[at + down], b0, b1, b2, b3, sums0);
            sums1 = add_products(left[at + down + 16u], b0, b1, b2, b3, sums1);
            sums2 = add_products(left[at + down + 32u], b0, b1, b2, b3, sums2);
            sums3 = add_products(left[at + down + 48u], b0, b1, b2, b3, sums3);
        }
    }
    put(first_row + down, first_column + across, sums0);
    put(first_row + down + 16u, first_column + across, sums1);
    put(first_row + down + 32u, first_column + across, sums2);
    put(first_row + down + 48u, first_column + across, sums3);
}

// Four scores of a row, 16 columns apart.
fn put(row: u32, column: u32, sums: vec4f) {
    let place = row * search.columns + column;
    let point = search.first_column + column;
    scores[place] = bias[point] - sums.x;
    scores[place + 16u] = bias[point + 16u] - sums.y;
    scores[place + 32u] = bias[point + 32u] - sums.z;
    scores[place + 48u] = bias[point + 48u] - sums.w;
}
