/** Who may import what: docs/architecture.md section 3 and CONTRIBUTING.md. */
const rule = (name, comment, from, to) => ({ name, comment, severity: 'error', from, to });

module.exports = {
  forbidden: [
    rule('no-circular', 'a cycle has no bottom to start reading from', {}, { circular: true }),
    rule('not-to-test', 'nobody builds on tests', { pathNot: '^test/' }, { path: '^test/' }),
    rule(
      'no-dev-dependency',
      'what runs in production is a dependency',
      { pathNot: '^(test|bench)/' },
      { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'] },
    ),
    rule(
      'shared-is-pure',
      'everybody imports shared, shared imports nobody',
      { path: '^shared/' },
      { path: '^(workflows|activities|workers|cli|config|lab|bench)/' },
    ),
    rule('shared-no-core', 'no I/O in shared', { path: '^shared/' }, { dependencyTypes: ['core', 'npm'] }),
    rule(
      'workflows-types-of-activities',
      'workflows run in a sandbox',
      { path: '^workflows/' },
      { path: '^activities/', dependencyTypesNot: ['type-only'] },
    ),
    rule('workflows-no-core', 'workflows run in a sandbox', { path: '^workflows/' }, { dependencyTypes: ['core'] }),
    rule(
      'workflows-npm',
      'the bundle holds the workflow packages only',
      { path: '^workflows/' },
      { path: 'node_modules/', pathNot: 'node_modules/@temporalio/(workflow|common)/' },
    ),
    rule(
      'workflows-not-up',
      'workflows know no process',
      { path: '^workflows/' },
      { path: '^(workers|cli|lab|config|bench)/' },
    ),
    rule(
      'activities-not-up',
      'activities know no workflow',
      { path: '^activities/' },
      { path: '^(workflows|workers|cli|lab|bench)/' },
    ),
    rule(
      'areas-apart',
      'areas share lib/ only',
      { path: '^activities/(?!lib/|index\\.ts)([^/]+)/' },
      { path: '^activities/(?!lib/)([^/]+)/', pathNot: '^activities/$1/' },
    ),
    rule(
      'cli-asks-workflows',
      'the command line never touches a database',
      { path: '^cli/' },
      { path: '^(activities|workers)/' },
    ),
    rule(
      'cli-types-of-workflows',
      'the command line knows messages only',
      { path: '^cli/' },
      { path: '^workflows/', pathNot: '^workflows/messages\\.ts$', dependencyTypesNot: ['type-only'] },
    ),
    rule(
      'config-alone',
      'config knows shared only',
      { path: '^config/' },
      { path: '^(workflows|activities|workers|cli|lab)/' },
    ),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};
