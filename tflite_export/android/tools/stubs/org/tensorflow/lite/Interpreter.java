// Stubs to compile against: the signatures that litert/ uses of LiteRT and of Android's libraries, as their
// documentation has them. Nothing runs them.
package org.tensorflow.lite;

import java.io.File;
import java.util.Map;

public final class Interpreter implements AutoCloseable {
    public static class Options {
        public Options setNumThreads(int threads) {
            throw new UnsupportedOperationException();
        }
    }

    public Interpreter(File model, Options options) {
        throw new UnsupportedOperationException();
    }

    public void runSignature(Map<String, Object> inputs, Map<String, Object> outputs, String key) {
        throw new UnsupportedOperationException();
    }

    public String[] getSignatureInputs(String key) {
        throw new UnsupportedOperationException();
    }

    public String[] getSignatureOutputs(String key) {
        throw new UnsupportedOperationException();
    }

    public Tensor getInputTensorFromSignature(String name, String key) {
        throw new UnsupportedOperationException();
    }

    public Tensor getOutputTensorFromSignature(String name, String key) {
        throw new UnsupportedOperationException();
    }

    @Override
    public void close() {
        throw new UnsupportedOperationException();
    }
}
