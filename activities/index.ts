/** Joins the activities into the two sets that workers serve. Names are stored in histories. */
import type { HostActivities, OrchestratorActivities } from '../shared/contracts/activities.js';
import { createStartApp } from './app/start-app.js';
import { createStopApp } from './app/stop-app.js';
import { createAppendRecord } from './audit/append-record.js';
import { createListRecords } from './audit/list-records.js';
import { createReadRecord } from './audit/read-record.js';
import type { RecordStore } from './audit/record-store.js';
import { createVerifyRecords } from './audit/verify-records.js';
import { createAbandonTimeline } from './backup-store/abandon-timeline.js';
import { createControllerActivities } from './backup-store/databasus-controller/index.js';
import { createPauseBackups } from './backup-store/pause-backups.js';
import { createResumeBackups } from './backup-store/resume-backups.js';
import { createReadEnvironment } from './environment/read-environment.js';
import { createPingHost } from './host/ping-host.js';
import { createVerifySignature } from './identity/verify-signature.js';
import type { ActivityDeps } from './lib/deps.js';
import { createNotifyActivities } from './notify/index.js';
import { createCheckEnvironment } from './postgres/check-environment.js';
import * as dev from './postgres/dev/index.js';
import * as dump from './postgres/dump/index.js';
import { createPlanRecovery } from './postgres/plan-recovery.js';
import { createReadWindow } from './postgres/read-window.js';
import { createFlipActivities, createFlipHostActivities } from './postgres/flip/index.js';
import * as promotion from './postgres/promotion/index.js';
import { createRebuildActivities } from './postgres/rebuild/index.js';
import { createRebuildStandby } from './postgres/standby/rebuild-standby.js';
import * as sandbox from './postgres/sandbox/index.js';
import { createVerifyWrites } from './routing/verify-writes.js';
import { createTopologyActivities } from './topology/index.js';

/** Activities that need only the network. */
export function createOrchestratorActivities(deps: ActivityDeps, records: RecordStore): OrchestratorActivities {
  return {
    readEnvironment: createReadEnvironment(deps),
    appendRecord: createAppendRecord(records),
    readRecord: createReadRecord(records),
    listRecords: createListRecords(records),
    verifyRecords: createVerifyRecords(records),
    verifySignature: createVerifySignature(deps),
    ...createNotifyActivities(deps),
    verifyWrites: createVerifyWrites(deps),
    pauseBackups: createPauseBackups(deps),
    resumeBackups: createResumeBackups(deps),
    abandonTimeline: createAbandonTimeline(deps),
    ...createTopologyActivities(deps),
    ...createFlipActivities(deps),
  };
}

/** Activities of one database host. */
export function createHostActivities(deps: ActivityDeps): HostActivities {
  return {
    pingHost: createPingHost(),
    readWindow: createReadWindow(deps),
    checkEnvironment: createCheckEnvironment(deps),
    planRecovery: createPlanRecovery(deps),
    prepareSandbox: sandbox.createPrepareSandbox(deps),
    restoreBase: sandbox.createRestoreBase(deps),
    combineIncrementals: sandbox.createCombineIncrementals(deps),
    replayWal: sandbox.createReplayWal(deps),
    verifySandbox: sandbox.createVerifySandbox(deps),
    readSandbox: sandbox.createReadSandbox(deps),
    discardSandbox: sandbox.createDiscardSandbox(deps),
    planDump: dump.createPlanDump(deps),
    prepareDumpSandbox: dump.createPrepareDumpSandbox(deps),
    restoreDump: dump.createRestoreDump(deps),
    verifyDump: dump.createVerifyDump(deps),
    handOverSandbox: dump.createHandOverSandbox(deps),
    planDevRestore: dev.createPlanDevRestore(deps),
    fetchDevDump: dev.createFetchDevDump(deps),
    prepareDevTarget: dev.createPrepareDevTarget(deps),
    runDevPhase: dev.createRunDevPhase(deps),
    ...createControllerActivities(deps),
    planPromotion: promotion.createPlanPromotion(deps),
    stopApp: createStopApp(deps),
    startApp: createStartApp(deps),
    captureTail: promotion.createCaptureTail(deps),
    fenceNode: promotion.createFenceNode(deps),
    startNode: promotion.createStartNode(deps),
    keepOldData: promotion.createKeepOldData(deps),
    returnOldData: promotion.createReturnOldData(deps),
    swapIn: promotion.createSwapIn(deps),
    swapOut: promotion.createSwapOut(deps),
    endRecovery: promotion.createEndRecovery(deps),
    rebaseline: promotion.createRebaseline(deps),
    rebuildStandby: createRebuildStandby(deps),
    planDumpPromotion: dump.createPlanDumpPromotion(deps),
    swapInDump: dump.createSwapInDump(deps),
    finishPromotion: promotion.createFinishPromotion(deps),
    planUndo: promotion.createPlanUndo(deps),
    takeBase: promotion.createTakeBase(deps),
    ...createFlipHostActivities(deps),
    ...createRebuildActivities(deps),
  };
}
