// Attention of QUERIES pixels of one head of one image to all PIXELS: their weights stay in shared memory, not divided by
// their sums until the end.

var<workgroup> scores: array<vec4<f32>, ROOM / 4u>;
var<workgroup> parts: array<f32, THREADS>;
var<workgroup> sums: array<f32, QUERIES>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let begin = group.y * (sizes.channels * sizes.pixels / 4u);
    let first = group.x * (QUERIES / 4u);

    // Four queries and four keys at a time.
    for (var i = thread; i < QUERIES / 4u * (sizes.pixels / 4u); i += THREADS) {
        let key = i % (sizes.pixels / 4u);
        let quad = i / (sizes.pixels / 4u);
        var a = vec4<f32>();
        var b = vec4<f32>();
        var c = vec4<f32>();
        var d = vec4<f32>();
        for (var channel = 0u; channel < sizes.channels; channel++) {
            let row = begin + channel * (sizes.pixels / 4u);
            let looking = vec4<f32>(queries[row + first + quad]);
            let seen = vec4<f32>(keys[row + key]);
            a += looking.x * seen;
            b += looking.y * seen;
            c += looking.z * seen;
            d += looking.w * seen;
        }
        let at = quad * sizes.pixels + key;
        scores[at] = a;
        scores[at + sizes.pixels / 4u] = b;
        scores[at + sizes.pixels / 2u] = c;
        scores[at + 3u * (sizes.pixels / 4u)] = d;
    }
    workgroupBarrier();

    // Each row's largest, then its exponentials and their sum: SHARE threads a row.
    let row = thread / SHARE;
    let begin_row = row * (sizes.pixels / 4u);
    var largest = vec4<f32>(scores[begin_row]);
    for (var i = thread % SHARE; i < sizes.pixels / 4u; i += SHARE) {
        largest = max(largest, scores[begin_row + i]);
    }
    parts[thread] = max(max(largest.x, largest.y), max(largest.z, largest.w));
    workgroupBarrier();
    var most = parts[row * SHARE];
    for (var i = 1u; i < SHARE; i++) {
        most = max(most, parts[row * SHARE + i]);
    }
    workgroupBarrier();
    var sum = vec4<f32>();
    for (var i = thread % SHARE; i < sizes.pixels / 4u; i += SHARE) {
        let weights = exp(scores[begin_row + i] - most);
        scores[begin_row + i] = weights;
        sum += weights;
    }
    parts[thread] = sum.x + sum.y + sum.z + sum.w;
    workgroupBarrier();
    if (thread % SHARE == 0u) {
        var whole = 0.0;
        for (var i = 0u; i < SHARE; i++) {
            whole += parts[thread + i];
        }
        sums[row] = whole;
    }
    workgroupBarrier();

    // One channel of four pixels at a time.
    for (var i = thread; i < QUERIES / 4u * sizes.channels; i += THREADS) {
        let channel = i % sizes.channels;
        let quad = i / sizes.channels;
        var result = vec4<f32>();
        for (var key = 0u; key < sizes.pixels / 4u; key++) {
            let value = vec4<f32>(values[begin + channel * (sizes.pixels / 4u) + key]);
            let at = quad * sizes.pixels + key;
            result += vec4<f32>(
                dot(scores[at], value),
                dot(scores[at + sizes.pixels / 4u], value),
                dot(scores[at + sizes.pixels / 2u], value),
                dot(scores[at + 3u * (sizes.pixels / 4u)], value));
        }
        let q = 4u * quad;
        result /= vec4<f32>(sums[q], sums[q + 1u], sums[q + 2u], sums[q + 3u]);
        results[begin + channel * (sizes.pixels / 4u) + first + quad] = vec4<T>(result);
    }
}
