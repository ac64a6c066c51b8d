// Maps of another height and width by a filter along rows and columns, zeros beyond the edges: a thread makes one number.
// Which pixels it reads with which weights is `Resampling::reach` of src/nn/resampling.rs.

fn first_of(at: i32, length: i32) -> i32 {
    #first
}

// The weight of the pixel at `place`, `i` after the first.
fn weight_of(at: i32, length: i32, place: i32, i: i32) -> f32 {
    #weight
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) place: vec3<u32>) {
    let pixels = sizes.rows * sizes.columns;
    if (place.x >= sizes.channels * pixels) {
        return;
    }
    let map = place.z * sizes.channels + place.x / pixels;
    let row = i32(place.x % pixels / sizes.columns);
    let column = i32(place.x % sizes.columns);
    let height = i32(sizes.height);
    let width = i32(sizes.width);
    let begin = vec2<i32>(first_of(row, height), first_of(column, width));
    var sum = 0.0;
    for (var i = 0; i < COUNT; i++) {
        let y = begin.x + i;
        if (y < 0 || y >= height) {
            continue;
        }
        for (var j = 0; j < COUNT; j++) {
            let x = begin.y + j;
            if (x < 0 || x >= width) {
                continue;
            }
            var value = f32(source[(map * sizes.height + u32(y)) * sizes.width + u32(x)]);
            #if NORMED
            let by = affine[map];
            value = value * by.x + by.y;
            #end
            #activate
            sum += value * weight_of(row, height, y, i) * weight_of(column, width, x, j);
        }
    }
    results[place.z * sizes.channels * pixels + place.x] = T(sum * GAIN);
}
