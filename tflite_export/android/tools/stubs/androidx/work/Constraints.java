package androidx.work;

public final class Constraints {
    public static final class Builder {
        public Builder setRequiresDeviceIdle(boolean required) {
            throw new UnsupportedOperationException();
        }

        public Builder setRequiresCharging(boolean required) {
            throw new UnsupportedOperationException();
        }

        public Builder setRequiresBatteryNotLow(boolean required) {
            throw new UnsupportedOperationException();
        }

        public Constraints build() {
            throw new UnsupportedOperationException();
        }
    }
}
