// The largest number in a square around every pixel, as far as it is within the image: a thread makes one number.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) place: vec3<u32>) {
    let pixels = sizes.height * sizes.width;
    if (place.x >= sizes.channels * pixels) {
        return;
    }
    let map = (place.z * sizes.channels + place.x / pixels) * pixels;
    let row = i32(place.x % pixels / sizes.width);
    let column = i32(place.x % sizes.width);
    var most = f32(source[map + place.x % pixels]);
    for (var y = max(row - REACH, 0); y <= min(row + REACH, i32(sizes.height) - 1); y++) {
        for (var x = max(column - REACH, 0); x <= min(column + REACH, i32(sizes.width) - 1); x++) {
            most = max(most, f32(source[map + u32(y) * sizes.width + u32(x)]));
        }
    }
    // ELU rises, so it is done once.
    var value = most;
    #activate
    results[place.z * sizes.channels * pixels + place.x] = T(value);
}
