// The numbers of one tensor, then those of the other, for each image.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) place: vec3<u32>) {
    let i = place.x;
    let at = place.z * (sizes.first + sizes.second) + i;
    if (i < sizes.first) {
        results[at] = first[place.z * sizes.first + i];
    } else if (i < sizes.first + sizes.second) {
        results[at] = second[place.z * sizes.second + i - sizes.first];
    }
}
