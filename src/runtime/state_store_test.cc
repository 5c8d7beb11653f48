#include "runtime/state_store.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace tessera {
namespace {

StateStore make_store(int64_t pages) {
  StateDeclaration a, b;
  a.page_bytes = 256;
  b.page_bytes = 100;
  const StateDeclaration declarations[] = {a, b};
  auto store = StateStore::create(declarations, pages);
  TESSERA_CHECK(store.ok());
  return *std::move(store);
}

void fill(StateStore& store, SequenceId id, int64_t tokens, int value) {
  ASSERT_TRUE(store.reserve(id, tokens).ok());
  const int64_t begin = store.length(id);
  for (int64_t t = begin; t < begin + tokens; ++t) {
    std::memset(store.layer(0).page(store.pages(id)[t / kPageTokens]) + t % kPageTokens, value, 1);
  }
  store.commit(id, tokens);
}

int read(const StateStore& store, SequenceId id, int64_t t) {
  return static_cast<int>(store.layer(0).page(store.pages(id)[t / kPageTokens])[t % kPageTokens]);
}

TEST(StateStore, AccountsForPages) {
  StateStore store = make_store(4);
  EXPECT_EQ(store.page_bytes(), 356u);
  const SequenceId a = store.create_sequence();
  fill(store, a, kPageTokens + 1, 1);
  EXPECT_EQ(store.used_bytes(), 2 * 356u);
  EXPECT_EQ(store.reserve(a, 4 * kPageTokens).code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(store.used_bytes(), 2 * 356u);  // nothing changed
  store.truncate(a, kPageTokens);
  EXPECT_EQ(store.free_pages(), 3);
  store.free_sequence(a);
  EXPECT_EQ(store.free_pages(), 4);
}

TEST(StateStore, ForkSharesAndCopiesOnWrite) {
  StateStore store = make_store(4);
  const SequenceId a = store.create_sequence();
  fill(store, a, kPageTokens + 10, 1);
  const SequenceId b = store.fork(a);
  EXPECT_EQ(store.free_pages(), 2);  // all shared
  fill(store, b, 1, 2);              // copies the partial page only
  EXPECT_EQ(store.free_pages(), 1);
  fill(store, a, 1, 3);              // a is its only reader now: no copy
  EXPECT_EQ(store.free_pages(), 1);
  EXPECT_EQ(store.pages(a)[0], store.pages(b)[0]);
  EXPECT_NE(store.pages(a)[1], store.pages(b)[1]);
  EXPECT_EQ(read(store, a, kPageTokens + 9), 1);
  EXPECT_EQ(read(store, b, kPageTokens + 9), 1);
  EXPECT_EQ(read(store, a, kPageTokens + 10), 3);
  EXPECT_EQ(read(store, b, kPageTokens + 10), 2);
  store.free_sequence(a);
  EXPECT_EQ(read(store, b, 0), 1);
  store.free_sequence(b);
  EXPECT_EQ(store.free_pages(), 4);
}

TEST(StateStore, RollbackIntoASharedPageCopies) {
  StateStore store = make_store(4);
  const SequenceId a = store.create_sequence();
  fill(store, a, 2 * kPageTokens, 1);
  const SequenceId b = store.fork(a);
  store.truncate(b, kPageTokens + 5);
  fill(store, b, 1, 7);
  EXPECT_EQ(read(store, a, kPageTokens + 5), 1);
  EXPECT_EQ(read(store, b, kPageTokens + 5), 7);
  EXPECT_EQ(read(store, b, kPageTokens + 4), 1);
}

}  // namespace
}  // namespace tessera
