// A matrix times a vector, for each row: a thread a number.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) place: vec3<u32>) {
    let output = place.x;
    if (output >= sizes.outputs) {
        return;
    }
    #row
    var sum = 0.0;
    for (var i = 0u; i < sizes.inputs / STEP; i++) {
        let value = F(source[row * (sizes.inputs / STEP) + i]) * F(weight[output * (sizes.inputs / STEP) + i]);
        sum += sum_of(value);
    }
    sum += f32(bias[output]);
    #if ADDED
    #rest row
    sum += f32(rest[rest_row * sizes.outputs + output]);
    #end
    #if ACTIVATED
    sum = sum / (1.0 + exp(min(-sum, 80.0)));
    #end
    results[place.y * sizes.outputs + output] = T(sum);
}
