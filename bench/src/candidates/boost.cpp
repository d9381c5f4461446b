// Boost.Interprocess message_queue behind a C face.
#include <boost/interprocess/ipc/message_queue.hpp>

using boost::interprocess::message_queue;
using namespace boost::interprocess;

extern "C" {

// Null on failure.
void *bench_boost_create(const char *name, size_t depth, size_t size) {
    try {
        return new message_queue(create_only, name, depth, size);
    } catch (...) {
        return nullptr;
    }
}

void *bench_boost_open(const char *name) {
    try {
        return new message_queue(open_only, name);
    } catch (...) {
        return nullptr;
    }
}

// 0 = done.
int bench_boost_send(void *queue, const void *bytes, size_t len) {
    try {
        static_cast<message_queue *>(queue)->send(bytes, len, 0);
        return 0;
    } catch (...) {
        return 1;
    }
}

int bench_boost_receive(void *queue, void *bytes, size_t room, size_t *len) {
    try {
        message_queue::size_type came = 0;
        unsigned priority = 0;
        static_cast<message_queue *>(queue)->receive(bytes, room, came, priority);
        *len = came;
        return 0;
    } catch (...) {
        return 1;
    }
}

void bench_boost_close(void *queue) { delete static_cast<message_queue *>(queue); }

void bench_boost_remove(const char *name) { message_queue::remove(name); }
}
