"""The `.tflite` files: traced, converted, quantised, in an order that a phone runs fast."""
