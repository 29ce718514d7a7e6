// A block of rows of the neighbor search, and the chunk of columns that it is compared with. Shared by both passes.

struct Search {
    // First point of the block.
    first_row: u32,
    // First point of the chunk, and how many there are: a multiple of 64.
    first_column: u32,
    columns: u32,
    // All points.
    points: u32,
    // Length of a row in vectors of four, a multiple of 4.
    depth: u32,
    // Candidates that each row keeps.
    kept: u32,
}

@group(0) @binding(0) var<uniform> search: Search;
