package androidx.work;

import android.content.Context;

public abstract class ListenableWorker {
    public abstract static class Result {
        public static Result success() {
            throw new UnsupportedOperationException();
        }
    }

    public ListenableWorker(Context context, WorkerParameters parameters) {
        throw new UnsupportedOperationException();
    }

    public final Context getApplicationContext() {
        throw new UnsupportedOperationException();
    }

    public final boolean isStopped() {
        throw new UnsupportedOperationException();
    }
}
