// Maps of another height and width by a filter along rows and columns, zeros beyond the edges: a thread makes one number.
// Which pixels it reads with which weights is `Resampling::reach` of src/nn/resampling.rs.

fn first_of(at: i32) -> i32 {
    #first
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
    let begin = vec2<i32>(first_of(row), first_of(column));
    var taps = TAPS;
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
            #if ACTIVATED
            value = value / (1.0 + exp(-value));
            #end
            #if DOUBLE
            sum += value * taps[row + BEFORE - 2 * y] * taps[column + BEFORE - 2 * x];
            #end
            #if SAME
            sum += value * taps[i] * taps[j];
            #end
        }
    }
    results[place.z * sizes.channels * pixels + place.x] = T(sum * GAIN);
}
